package goclient

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/client/webclient"
	"github.com/gravitational/teleport/api/identityfile"
	"github.com/gravitational/teleport/api/profile"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/events"
	"github.com/gravitational/teleport/api/utils/keys"
	"github.com/gravitational/trace"
	"golang.org/x/crypto/ssh"
)

// Where the proxy is: its public address, and the port that is for tunnels only.
var (
	proxyAddress  = os.Getenv("TESSERA_PROXY")
	tunnelAddress = os.Getenv("TESSERA_TUNNEL")
)

// tunnelOverride makes clients take this for the tunnel's address, instead of what the proxy says.
const tunnelOverride = "TELEPORT_TUNNEL_PUBLIC_ADDR"

// dial makes a client by all ways that it has to these addresses, for a short while.
func dial(ctx context.Context, credentials client.Credentials, addresses ...string) (*client.Client, error) {
	return client.New(ctx, client.Config{
		Addrs:       addresses,
		Credentials: []client.Credentials{credentials},
		DialTimeout: 8 * time.Second,
	})
}

// reaches checks that a client gets to the auth service, as admin.
func reaches(t *testing.T, ctx context.Context, credentials client.Credentials, addresses ...string) *client.Client {
	t.Helper()
	c, err := dial(ctx, credentials, addresses...)
	if err != nil {
		panic(failure{"reaches", err})
	}
	t.Cleanup(func() { c.Close() })
	equal(t, "cluster", must(c.Ping(ctx)).ClusterName, cluster)
	equal(t, "current user", must(c.GetCurrentUser(ctx)).GetName(), "admin")
	return c
}

// credentialLoaders are all that have SSH, with the same identity.
func credentialLoaders(t *testing.T, webProxy string) map[string]client.Credentials {
	return map[string]client.Credentials{
		"LoadIdentityFile":           client.LoadIdentityFile(file("admin.pem")),
		"LoadIdentityFileFromString": client.LoadIdentityFileFromString(string(must(os.ReadFile(file("admin.pem"))))),
		"NewDynamicIdentityFile":     must(client.NewDynamicIdentityFileCreds(file("admin.pem"))),
		"LoadProfile":                client.LoadProfile(saveProfile(t, webProxy), ""),
	}
}

// saveProfile writes what a login leaves behind, from the identity file.
func saveProfile(t *testing.T, webProxy string) string {
	t.Helper()
	identity := must(identityfile.ReadFile(file("admin.pem")))
	root := t.TempDir()
	saved := profile.Profile{WebProxyAddr: webProxy, SSHProxyAddr: webProxy, Username: "admin", SiteName: cluster, TLSRoutingEnabled: true, Dir: root}
	done(saved.SaveToDir(root, true))
	write := func(path string, parts ...[]byte) {
		done(os.MkdirAll(filepath.Dir(path), 0o700))
		done(os.WriteFile(path, slices.Concat(parts...), 0o600))
	}
	write(saved.UserTLSKeyPath(), identity.PrivateKey)
	write(saved.TLSCertPath(), identity.Certs.TLS)
	write(saved.UserSSHKeyPath(), identity.PrivateKey)
	write(saved.SSHCertPath(), identity.Certs.SSH)
	write(saved.TLSCAPathCluster(cluster), identity.CACerts.TLS...)
	for _, line := range identity.CACerts.SSH {
		write(saved.KnownHostsPath(), line, []byte("\n"))
	}
	return root
}

func TestProxyFind(t *testing.T) {
	step(t, "says what the dialers ask for", func(t *testing.T, ctx context.Context) {
		found := must(webclient.Find(&webclient.Config{Context: ctx, ProxyAddr: proxyAddress}))
		equal(t, "cluster", found.ClusterName, cluster)
		holds(t, "TLS routing is on", found.Proxy.TLSRoutingEnabled)
		equal(t, "public address", found.Proxy.SSH.PublicAddr, proxyAddress)
		equal(t, "tunnel address", must(found.Proxy.TunnelAddr()), proxyAddress)
		equal(t, "dial timeout", found.Proxy.SSH.DialTimeout, 30*time.Second)
		equal(t, "the tunnel's own port", portOf(found.Proxy.SSH.TunnelListenAddr), portOf(tunnelAddress))
		ping := must(webclient.Ping(&webclient.Config{Context: ctx, ProxyAddr: proxyAddress}))
		equal(t, "kind of sign-in", ping.Auth.Type, "local")
		must(webclient.GetMOTD(&webclient.Config{Context: ctx, ProxyAddr: proxyAddress}))
	})
	step(t, "no upgrade is needed where there is no balancer", func(t *testing.T, ctx context.Context) {
		holds(t, "none", !client.IsALPNConnUpgradeRequired(ctx, proxyAddress, false))
	})
}

// TestProxyWays lets one of the client's ways through at a time.
func TestProxyWays(t *testing.T) {
	identity := func() client.Credentials { return client.LoadIdentityFile(file("admin.pem")) }
	step(t, "all at once", func(t *testing.T, ctx context.Context) {
		for range 5 {
			reaches(t, ctx, identity(), proxyAddress)
		}
	})
	step(t, "authConnect", func(t *testing.T, ctx context.Context) {
		r := newRelay(t, proxyAddress, toAuth)
		reaches(t, ctx, identity(), r.address)
		equal(t, "ways", r.through(), "auth")
	})
	step(t, "authConnect, by TLS routing", func(t *testing.T, ctx context.Context) {
		c := must(client.New(ctx, client.Config{
			Addrs: []string{proxyAddress}, Credentials: []client.Credentials{client.LoadKeyPair(file("admin.crt"), file("admin.key"), file("admin.cas"))},
			ALPNSNIAuthDialClusterName: cluster, DialInBackground: true,
		}))
		defer c.Close()
		equal(t, "cluster", must(c.Ping(ctx)).ClusterName, cluster)
	})
	step(t, "authConnect, within a connection upgrade", func(t *testing.T, ctx context.Context) {
		r := newRelay(t, proxyAddress, toWeb)
		c := must(client.New(ctx, client.Config{
			Addrs: []string{r.address}, Credentials: []client.Credentials{client.LoadKeyPair(file("admin.crt"), file("admin.key"), file("admin.cas"))},
			ALPNSNIAuthDialClusterName: cluster, ALPNConnUpgradeRequired: true, DialTimeout: 8 * time.Second, InsecureAddressDiscovery: true,
		}))
		defer c.Close()
		equal(t, "cluster", must(c.Ping(ctx)).ClusterName, cluster)
		equal(t, "ways", r.through(), "web")
	})
	step(t, "tunnelConnect", func(t *testing.T, ctx context.Context) {
		for _, target := range []string{proxyAddress, tunnelAddress} {
			r := newRelay(t, target, sshAtOnce)
			for name, credentials := range credentialLoaders(t, r.address) {
				t.Log(name)
				reaches(t, ctx, credentials, r.address)
			}
			equal(t, "ways", r.through(), "ssh")
		}
	})
	t.Run("proxyConnect", func(t *testing.T) {
		defer guard(t)
		web, tunnel := newRelay(t, proxyAddress, toWeb), newRelay(t, proxyAddress, sshAtOnce)
		t.Setenv(tunnelOverride, tunnel.address)
		reaches(t, context.Background(), identity(), web.address)
		equal(t, "ways", tunnel.through(), "ssh")
	})
	t.Run("tlsRoutingConnect", func(t *testing.T) {
		defer guard(t)
		web, tunnel := newRelay(t, proxyAddress, toWeb), newRelay(t, proxyAddress, sshWithinTLS)
		t.Setenv(tunnelOverride, tunnel.address)
		for name, credentials := range credentialLoaders(t, web.address) {
			t.Log(name)
			reaches(t, context.Background(), credentials, web.address)
		}
		equal(t, "ways", tunnel.through(), "reversetunnel")
	})
	t.Run("tlsRoutingWithConnUpgrade, none needed", func(t *testing.T) {
		defer guard(t)
		web, tunnel := newRelay(t, proxyAddress, toWeb, sshWithinTLS), newRelay(t, proxyAddress)
		t.Setenv(tunnelOverride, tunnel.address)
		reaches(t, context.Background(), identity(), web.address)
		equal(t, "ways", web.through(), "reversetunnel web")
	})
	for _, mode := range []string{"websocket", "legacy", ""} {
		t.Run("tlsRoutingWithConnUpgrade, "+mode, func(t *testing.T) {
			defer guard(t)
			web, tunnel := newRelay(t, proxyAddress, toWeb), newRelay(t, proxyAddress)
			t.Setenv(tunnelOverride, tunnel.address)
			t.Setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE", "true")
			t.Setenv("TELEPORT_TLS_ROUTING_CONN_UPGRADE_MODE", mode)
			reaches(t, context.Background(), identity(), web.address)
			equal(t, "ways", web.through(), "web")
		})
	}
	step(t, "discovery by the exported dialer", func(t *testing.T, ctx context.Context) {
		config := must(identity().SSHClientConfig())
		dialer := client.NewProxyDialer(*config, time.Minute, 8*time.Second, proxyAddress, false)
		c := must(client.New(ctx, client.Config{Dialer: dialer, Credentials: []client.Credentials{identity()}}))
		defer c.Close()
		equal(t, "current user", must(c.GetCurrentUser(ctx)).GetName(), "admin")
	})
	step(t, "a profile finds the proxy by itself", func(t *testing.T, ctx context.Context) {
		reaches(t, ctx, client.LoadProfile(saveProfile(t, proxyAddress), ""))
	})
}

// TestProxyTunnel does the work of a client through SSH only.
func TestProxyTunnel(t *testing.T) {
	defer guard(t)
	r := newRelay(t, proxyAddress, sshAtOnce)
	tunnelled := func(t *testing.T, ctx context.Context) *client.Client {
		return reaches(t, ctx, client.LoadIdentityFile(file("admin.pem")), r.address)
	}
	step(t, "roles, errors and a watch", func(t *testing.T, ctx context.Context) {
		c := tunnelled(t, ctx)
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		defer watcher.Close()
		created := must(c.CreateRole(ctx, newRole("tunnel-role")))
		equal(t, "event", next(watcher).Resource.GetName(), "tunnel-role")
		_, err := c.CreateRole(ctx, newRole("tunnel-role"))
		refused(t, "a second one", trace.IsAlreadyExists, err)
		_, err = c.GetRole(ctx, "no-such-role")
		refused(t, "none", trace.IsNotFound, err)
		created.SetLogins(types.Deny, []string{"root"})
		equal(t, "changed", must(c.UpdateRole(ctx, created)).GetLogins(types.Deny), []string{"root"})
		done(c.DeleteRole(ctx, "tunnel-role"))
	})
	step(t, "more than a window both ways", func(t *testing.T, ctx context.Context) {
		c := tunnelled(t, ctx)
		for i := range 40 {
			role := newRole(fmt.Sprintf("tunnel-large-%02d", i)).(*types.RoleV6)
			role.Metadata.Description = strings.Repeat("x", 60_000)
			must(c.UpsertRole(ctx, role))
		}
		large := 0
		for _, role := range must(c.GetRoles(ctx)) {
			if len(role.GetMetadata().Description) == 60_000 {
				large++
				done(c.DeleteRole(ctx, role.GetName()))
			}
		}
		equal(t, "how many", large, 40)
	})
	step(t, "certificates", func(t *testing.T, ctx context.Context) {
		c := tunnelled(t, ctx)
		_, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: time.Now().Add(10 * time.Minute)})
		done(err)
		signed(t, ctx, c, certs)
	})
	step(t, "a renewal by a bot that has joined", func(t *testing.T, ctx context.Context) {
		bot := "join-tunnel-" + portOf(proxyAddress)
		key, certs, err := register(ctx, anonymous(authorities()), botToken(ctx, admin(t), bot, bot+"-0123456789abcdef"))
		done(err)
		// An identity file needs the host authorities' lines, which joining does not give.
		hosts := must(identityfile.ReadFile(file("admin.pem"))).CACerts.SSH
		identity := &identityfile.IdentityFile{PrivateKey: key.PrivateKeyPEM(), Certs: identityfile.Certs{SSH: certs.SSH, TLS: certs.TLS}}
		identity.CACerts.SSH, identity.CACerts.TLS = hosts, certs.TLSCACerts
		path := t.TempDir() + "/identity"
		done(identityfile.Write(identity, path))
		c := must(dial(ctx, client.LoadIdentityFile(path), r.address))
		defer c.Close()
		_, _, err = renew(ctx, c, bot)
		done(err)
	})
	step(t, "thirty clients at once", func(t *testing.T, ctx context.Context) {
		failed := make(chan error, 30)
		for range cap(failed) {
			go func() {
				c, err := dial(ctx, client.LoadIdentityFile(file("admin.pem")), r.address)
				if err == nil {
					_, err = c.Ping(ctx)
					c.Close()
				}
				failed <- err
			}()
		}
		for range cap(failed) {
			done(<-failed)
		}
	})
	equal(t, "ways", r.through(), "ssh")
}

// TestProxySource looks where the auth service sees clients.
func TestProxySource(t *testing.T) {
	defer guard(t)
	direct := admin(t)
	for index, kind := range strings.Fields(ways)[:3] {
		step(t, kind, func(t *testing.T, ctx context.Context) {
			entry, tunnel := newRelay(t, proxyAddress, kind), ""
			if kind == sshWithinTLS {
				tunnel = entry.address
				entry = newRelay(t, proxyAddress, toWeb)
				t.Setenv(tunnelOverride, tunnel)
			}
			c := reaches(t, ctx, client.LoadIdentityFile(file("admin.pem")), entry.address)
			name := fmt.Sprintf("source-%s-%d", portOf(proxyAddress), index)
			must(c.CreateRole(ctx, newRole(name)))
			ping := must(c.Ping(ctx))
			equal(t, "where Ping sees the client", hostOf(ping.GetRemoteAddr()), relayedSource)
			for _, event := range must(search(ctx, direct, types.EventOrderDescending, 100)) {
				if created := event.(*events.RoleCreate); created.Name == name {
					equal(t, "the audited address", hostOf(created.RemoteAddr), relayedSource)
					return
				}
			}
			t.Error("no audit event")
		})
	}
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// portOf also tells the clusters and proxies of one run apart.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// TestProxyStrangers are those whom the SSH leg must turn away.
func TestProxyStrangers(t *testing.T) {
	defer guard(t)
	r := newRelay(t, proxyAddress, sshAtOnce)
	config := must(client.LoadIdentityFile(file("admin.pem")).SSHClientConfig())
	step(t, "another host authority: the client turns the proxy away", func(t *testing.T, ctx context.Context) {
		identity := must(identityfile.ReadFile(file("admin.pem")))
		identity.CACerts.SSH = [][]byte{append([]byte("@cert-authority * "), ssh.MarshalAuthorizedKey(newKey().SSHPublicKey())...)}
		path := t.TempDir() + "/identity"
		done(identityfile.Write(identity, path))
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := dial(ctx, client.LoadIdentityFile(path), r.address)
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
	})
	step(t, "the host certificate is for the names of the proxy", func(t *testing.T, ctx context.Context) {
		for name, isGood := range map[string]bool{proxyAddress: true, "127.0.0.1:1": true, "proxy.other.example:1": false} {
			connection := must(net.Dial("tcp", proxyAddress))
			s, _, _, err := ssh.NewClientConn(connection, name, config)
			holds(t, fmt.Sprintf("%s: %v", name, err), (err == nil) == isGood)
			if err == nil {
				s.Close()
			}
			connection.Close()
		}
	})
	step(t, "no certificate, one of another authority, another user", func(t *testing.T, ctx context.Context) {
		signer := must(ssh.NewSignerFromSigner(newKey().Signer))
		own := must(keys.ParsePrivateKey(must(identityfile.ReadFile(file("admin.pem"))).PrivateKey))
		bare := must(ssh.NewSignerFromSigner(own.Signer))
		forged := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, KeyId: "admin", ValidPrincipals: []string{"ops"}, ValidBefore: ssh.CertTimeInfinity}
		done(forged.SignCert(strings.NewReader(strings.Repeat("x", 1000)), signer))
		for what, auth := range map[string]ssh.AuthMethod{
			"a password": ssh.Password("x"), "a bare key": ssh.PublicKeys(bare), "a stranger's key": ssh.PublicKeys(signer),
			"a stranger's certificate": ssh.PublicKeys(must(ssh.NewCertSigner(forged, signer))),
		} {
			changed := *config
			changed.Auth, changed.User = []ssh.AuthMethod{auth}, "ops"
			_, err := ssh.Dial("tcp", proxyAddress, &changed)
			holds(t, fmt.Sprintf("%s: %v", what, err), err != nil && strings.Contains(err.Error(), "unable to authenticate"))
		}
		changed := *config
		changed.User = "root"
		_, err := ssh.Dial("tcp", proxyAddress, &changed)
		holds(t, fmt.Sprintf("another user: %v", err), err != nil)
	})
	step(t, "neither a session nor a forward", func(t *testing.T, ctx context.Context) {
		s := must(ssh.Dial("tcp", proxyAddress, config))
		defer s.Close()
		_, err := s.NewSession()
		holds(t, fmt.Sprintf("session: %v", err), err != nil)
		_, err = s.Dial("tcp", address)
		holds(t, fmt.Sprintf("forward: %v", err), err != nil)
		_, err = s.Listen("tcp", "127.0.0.1:0")
		holds(t, fmt.Sprintf("backward: %v", err), err != nil)
	})
	step(t, "somebody who is no proxy cannot say where a client is", func(t *testing.T, ctx context.Context) {
		_, err := client.New(ctx, client.Config{
			Addrs: []string{address}, DialTimeout: time.Second, Credentials: []client.Credentials{client.LoadKeyPair(file("admin.crt"), file("admin.key"), file("admin.cas"))},
			PROXYHeaderGetter: func() ([]byte, error) {
				return []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x10\x00\x0b\xd1"), nil
			},
		})
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
	})
}
