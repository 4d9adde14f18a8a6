package goclient

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/identityfile"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/utils/keys"
	"github.com/gravitational/teleport/api/utils/sshutils"
	"github.com/gravitational/trace"
	"golang.org/x/crypto/ssh"
)

// newKey is a fresh key in the client's own form.
func newKey() *keys.PrivateKey {
	var signer crypto.Signer = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return must(keys.NewSoftwarePrivateKey(signer))
}

// issue asks for a pair for a fresh key.
func issue(ctx context.Context, c *client.Client, request proto.UserCertsRequest) (*keys.PrivateKey, *proto.Certs, error) {
	key := newKey()
	request.TLSPublicKey = must(key.MarshalTLSPublicKey())
	request.SSHPublicKey = key.MarshalSSHPublicKey()
	certs, err := c.GenerateUserCerts(ctx, request)
	return key, certs, err
}

// pair makes credentials of what was issued.
func pair(key *keys.PrivateKey, certs *proto.Certs) client.Credentials {
	return must(client.KeyPair(certs.TLS, key.PrivateKeyPEM(), bytes.Join(certs.TLSCACerts, nil)))
}

func leaf(certs *proto.Certs) *x509.Certificate {
	block, _ := pem.Decode(certs.TLS)
	return must(x509.ParseCertificate(block.Bytes))
}

// signed checks that the certificates are signed by what GetCertAuthority says.
func signed(t *testing.T, ctx context.Context, c *client.Client, certs *proto.Certs) {
	t.Helper()
	authority := must(c.GetCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: cluster}, false))
	pool := x509.NewCertPool()
	for _, pair := range authority.GetTrustedTLSKeyPairs() {
		pool.AppendCertsFromPEM(pair.Cert)
	}
	_, err := leaf(certs).Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	done(err)
	certificate := must(sshutils.ParseCertificate(certs.SSH))
	checker := ssh.CertChecker{IsUserAuthority: func(key ssh.PublicKey) bool {
		for _, pair := range authority.GetTrustedSSHKeyPairs() {
			trusted, _, _, _, err := ssh.ParseAuthorizedKey(pair.PublicKey)
			if err == nil && bytes.Equal(trusted.Marshal(), key.Marshal()) {
				return true
			}
		}
		return false
	}}
	holds(t, "a known SSH key signed", checker.IsUserAuthority(certificate.SignatureKey))
	done(checker.CheckCert(certificate.ValidPrincipals[0], certificate))
}

func TestGenerateUserCerts(t *testing.T) {
	defer guard(t)
	c := admin(t)
	expires := time.Now().Add(20 * time.Minute)
	step(t, "own, and reconnect with it", func(t *testing.T, ctx context.Context) {
		key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: expires})
		done(err)
		signed(t, ctx, c, certs)
		certificate := leaf(certs)
		equal(t, "subject", certificate.Subject.CommonName, "admin")
		equal(t, "roles", sorted(strings.Join(certificate.Subject.Organization, " ")), "auditor editor go-admin")
		holds(t, "it ends when asked", certificate.NotAfter.Sub(expires).Abs() < 2*time.Second)
		holds(t, "it is backdated", certificate.NotBefore.Before(time.Now().Add(-50*time.Second)))
		again := connect(t, pair(key, certs))
		equal(t, "user", must(again.GetCurrentUser(ctx)).GetName(), "admin")
		certificateSSH := must(sshutils.ParseCertificate(certs.SSH))
		holds(t, "its principals", strings.Contains(strings.Join(certificateSSH.ValidPrincipals, " "), "ops"))
		holds(t, "and the internal one", strings.Contains(strings.Join(certificateSSH.ValidPrincipals, " "), "-teleport-internal-join"))
	})
	step(t, "as an identity file of the client's own writer", func(t *testing.T, ctx context.Context) {
		key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: expires})
		done(err)
		var hosts [][]byte
		for _, line := range certs.SSHCACerts {
			hosts = append(hosts, []byte(fmt.Sprintf("@cert-authority %s,*.%s %s type=host\n", cluster, cluster, bytes.TrimSpace(line))))
		}
		path := t.TempDir() + "/identity"
		done(identityfile.Write(&identityfile.IdentityFile{
			PrivateKey: key.PrivateKeyPEM(),
			Certs:      identityfile.Certs{SSH: certs.SSH, TLS: certs.TLS},
			CACerts:    identityfile.CACerts{SSH: hosts, TLS: certs.TLSCACerts},
		}, path))
		loads(t, ctx, "admin", true, client.LoadIdentityFile(path))
	})
	step(t, "one key for both, the old field", func(t *testing.T, ctx context.Context) {
		key := newKey()
		certs := must(c.GenerateUserCerts(ctx, proto.UserCertsRequest{Username: "admin", Expires: expires, PublicKey: key.MarshalSSHPublicKey()}))
		loads(t, ctx, "admin", false, pair(key, certs))
	})
	step(t, "keys of every algorithm", func(t *testing.T, ctx context.Context) {
		_, edwards, err := ed25519.GenerateKey(rand.Reader)
		done(err)
		for name, signer := range map[string]crypto.Signer{
			"RSA": must(rsa.GenerateKey(rand.Reader, 2048)), "ECDSA": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), "Ed25519": edwards,
		} {
			key := must(keys.NewSoftwarePrivateKey(signer))
			certs := must(c.GenerateUserCerts(ctx, proto.UserCertsRequest{
				Username: "admin", Expires: expires, TLSPublicKey: must(key.MarshalTLSPublicKey()), SSHPublicKey: key.MarshalSSHPublicKey(),
			}))
			signed(t, ctx, c, certs)
			loads(t, ctx, "admin", false, pair(key, certs))
			holds(t, name+" is in the SSH certificate", bytes.Equal(must(sshutils.ParseCertificate(certs.SSH)).Key.Marshal(), key.SSHPublicKey().Marshal()))
		}
	})
	step(t, "only one of the two", func(t *testing.T, ctx context.Context) {
		key := newKey()
		certs := must(c.GenerateUserCerts(ctx, proto.UserCertsRequest{Username: "admin", Expires: expires, TLSPublicKey: must(key.MarshalTLSPublicKey())}))
		holds(t, "no SSH certificate", len(certs.SSH) == 0 && len(certs.TLS) > 0)
	})
	step(t, "never beyond its own end", func(t *testing.T, ctx context.Context) {
		_, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: time.Now().Add(1000 * time.Hour)})
		done(err)
		holds(t, "within the hour", leaf(certs).NotAfter.Before(time.Now().Add(61*time.Minute)))
	})
	step(t, "with role requests", func(t *testing.T, ctx context.Context) {
		key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: expires, RoleRequests: []string{"go-reader"}, UseRoleRequests: true})
		done(err)
		signed(t, ctx, c, certs)
		equal(t, "roles", strings.Join(leaf(certs).Subject.Organization, " "), "go-reader")
		reader := connect(t, pair(key, certs))
		must(reader.GetRole(ctx, "go-reader"))
		_, err = reader.GetUsers(ctx, false)
		refused(t, "what the role does not allow", trace.IsAccessDenied, err)
		_, _, err = issue(ctx, reader, proto.UserCertsRequest{Username: "admin", Expires: expires})
		refused(t, "another certificate with it", trace.IsAccessDenied, err)
		_, _, err = issue(ctx, reader, proto.UserCertsRequest{Username: "admin", Expires: expires, RoleRequests: []string{"editor"}, UseRoleRequests: true})
		refused(t, "further roles with it", trace.IsAccessDenied, err)
	})
	step(t, "roles that one may not take on", func(t *testing.T, ctx context.Context) {
		_, _, err := issue(ctx, as(t, "nothing"), proto.UserCertsRequest{Username: "nothing", Expires: expires, RoleRequests: []string{"editor"}, UseRoleRequests: true})
		refused(t, "editor", trace.IsAccessDenied, err)
		_, _, err = issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: expires, RoleRequests: []string{"no-such-role"}, UseRoleRequests: true})
		holds(t, fmt.Sprintf("an unknown role is refused: %v", err), err != nil)
	})
	step(t, "by many at once", func(t *testing.T, ctx context.Context) {
		results := make(chan error, 32)
		for range cap(results) {
			go func() {
				key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: expires})
				if err == nil && len(certs.TLS) > 0 {
					_, err = key.TLSCertificate(certs.TLS)
				}
				results <- err
			}()
		}
		for range cap(results) {
			done(<-results)
		}
	})
	step(t, "what is not built says so by name", func(t *testing.T, ctx context.Context) {
		for what, request := range map[string]proto.UserCertsRequest{
			"a database": {RouteToDatabase: proto.RouteToDatabase{ServiceName: "db", Protocol: "postgres"}},
			"kubernetes": {KubernetesCluster: "k8s"},
			"a desktop":  {RouteToWindowsDesktop: proto.RouteToWindowsDesktop{WindowsDesktop: "d", Login: "l"}},
		} {
			request.Username, request.Expires = "admin", expires
			_, _, err := issue(ctx, c, request)
			refused(t, what, trace.IsNotImplemented, err)
		}
	})
	step(t, "for another user", func(t *testing.T, ctx context.Context) {
		key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "lockee", Expires: expires})
		done(err)
		equal(t, "user", must(connect(t, pair(key, certs)).GetCurrentUser(ctx)).GetName(), "lockee")
		_, _, err = issue(ctx, as(t, "nothing"), proto.UserCertsRequest{Username: "admin", Expires: expires})
		refused(t, "without the right to", trace.IsAccessDenied, err)
	})
	step(t, "bad keys are BadParameter", func(t *testing.T, ctx context.Context) {
		_, err := c.GenerateUserCerts(ctx, proto.UserCertsRequest{Username: "admin", Expires: expires})
		refused(t, "none", trace.IsBadParameter, err)
		_, err = c.GenerateUserCerts(ctx, proto.UserCertsRequest{Username: "admin", Expires: expires, TLSPublicKey: []byte("key")})
		refused(t, "no key at all", trace.IsBadParameter, err)
		weak := "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC4Gfh1kGNqCqzF8wAfCdEpLrw4TCXg1RqKJ5bJYw1eVYkA5eVJV7oGZgJ3tXlQCEGYnbEGe7x9Wp9vj2JTDgKd"
		_, err = c.GenerateUserCerts(ctx, proto.UserCertsRequest{Username: "admin", Expires: expires, SSHPublicKey: []byte(weak)})
		refused(t, "a weak key", trace.IsBadParameter, err)
	})
	t.Run("an expired certificate", func(t *testing.T) {
		// Beside the others: it only waits.
		t.Parallel()
		defer guard(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c := admin(t)
		key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: time.Now().Add(6 * time.Second)})
		done(err)
		live := connect(t, pair(key, certs))
		must(live.GetRole(ctx, "go-reader"))
		watcher, _ := watching(t, ctx, live, false, types.WatchKind{Kind: types.KindRole, Name: "nobody-changes-it"})
		time.Sleep(time.Until(leaf(certs).NotAfter) + 1500*time.Millisecond) // the second itself belongs to it
		_, err = live.GetRole(ctx, "go-reader")
		refused(t, "a call on the live connection", trace.IsAccessDenied, err)
		ended(t, "the watch", trace.IsAccessDenied, watcher)
		_, err = client.New(ctx, client.Config{Addrs: []string{address}, Credentials: []client.Credentials{pair(key, certs)}, DialTimeout: 2 * time.Second})
		holds(t, "no new connection", err != nil)
	})
}
