package goclient

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/client/proxy"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// viaTransport makes a client of the proxy's gRPC, as tsh and tbot do: the proxy is known by its own name, the auth service
// by that of all auth services.
func viaTransport(t *testing.T, ctx context.Context, change func(*proxy.ClientConfig)) *proxy.Client {
	t.Helper()
	identity := client.LoadIdentityFile(file("admin.pem"))
	config := proxy.ClientConfig{
		ProxyAddress:      proxyAddress,
		TLSRoutingEnabled: true,
		TLSConfigFunc: func(cluster string) (*tls.Config, error) {
			config, err := identity.TLSConfig()
			if err == nil && cluster == "" {
				config.ServerName, _, _ = net.SplitHostPort(proxyAddress)
			}
			return config, err
		},
		SSHConfig:   must(identity.SSHClientConfig()),
		DialTimeout: 8 * time.Second,
	}
	if change != nil {
		change(&config)
	}
	c := must(proxy.NewClient(ctx, config))
	t.Cleanup(func() { c.Close() })
	return c
}

// TestProxyTransport is the package client/proxy.
func TestProxyTransport(t *testing.T) {
	ways := map[string]func(*proxy.ClientConfig){
		"TLS routing":    nil,
		"no TLS routing": func(c *proxy.ClientConfig) { c.TLSRoutingEnabled = false },
		"the tunnel's port, no TLS routing": func(c *proxy.ClientConfig) {
			c.ProxyAddress, c.TLSRoutingEnabled = tunnelAddress, false
		},
		"within a connection upgrade": func(c *proxy.ClientConfig) {
			c.ALPNConnUpgradeRequired, c.InsecureSkipVerify = true, true
		},
		"within a connection upgrade, no TLS routing": func(c *proxy.ClientConfig) {
			c.ALPNConnUpgradeRequired, c.InsecureSkipVerify, c.TLSRoutingEnabled = true, true, false
		},
	}
	for name, change := range ways {
		step(t, name, func(t *testing.T, ctx context.Context) {
			c := viaTransport(t, ctx, change)
			details := must(c.ClusterDetails(ctx))
			equal(t, "FIPS", details.FIPS, false)
			equal(t, "cluster by the proxy's certificate", c.ClusterName(), cluster)
			config := must(c.ClientConfig(ctx, cluster))
			auth := must(client.New(ctx, config))
			defer auth.Close()
			equal(t, "cluster", must(auth.Ping(ctx)).ClusterName, cluster)
			equal(t, "current user", must(auth.GetCurrentUser(ctx)).GetName(), "admin")
			must(auth.GetRoles(ctx))
		})
	}
	step(t, "many streams, large answers and requests", func(t *testing.T, ctx context.Context) {
		c := viaTransport(t, ctx, func(c *proxy.ClientConfig) { c.TLSRoutingEnabled = false })
		results := make(chan error, 20)
		for i := range cap(results) {
			go func() {
				results <- func() (err error) {
					auth, err := client.New(ctx, must(c.ClientConfig(ctx, cluster)))
					if err != nil {
						return err
					}
					defer auth.Close()
					role := newRole("go-transport-" + string(rune('a'+i))).(*types.RoleV6)
					role.Metadata.Description = strings.Repeat("0123456789abcdef", 4_000)
					if _, err = auth.UpsertRole(ctx, role); err != nil {
						return err
					}
					found, err := auth.GetRole(ctx, role.GetName())
					if err == nil && found.GetMetadata().Description != role.Metadata.Description {
						err = trace.BadParameter("another description came back")
					}
					if err != nil {
						return err
					}
					return auth.DeleteRole(ctx, role.GetName())
				}()
			}()
		}
		for range cap(results) {
			done(<-results)
		}
	})
	step(t, "the auth service sees the client's address", func(t *testing.T, ctx context.Context) {
		r := newRelay(t, proxyAddress, toAuth, toWeb)
		c := viaTransport(t, ctx, func(c *proxy.ClientConfig) { c.ProxyAddress, c.TLSRoutingEnabled = r.address, false })
		auth := must(client.New(ctx, must(c.ClientConfig(ctx, cluster))))
		defer auth.Close()
		seen, _, _ := net.SplitHostPort(must(auth.Ping(ctx)).RemoteAddr)
		equal(t, "address", seen, relayedSource)
	})
	step(t, "what is not there is named", func(t *testing.T, ctx context.Context) {
		c := viaTransport(t, ctx, nil)
		_, _, err := c.DialHost(ctx, "nowhere:0", cluster, nil)
		holds(t, "a host that is not there is named: "+errorText(err), err != nil && strings.Contains(err.Error(), "nowhere:0") &&
			strings.Contains(err.Error(), "no SSH host"))
		_, _, err = c.DialHost(ctx, "nowhere:0", "other.example", nil)
		holds(t, "a cluster that is not there is named: "+errorText(err), err != nil && strings.Contains(err.Error(), "other.example"))
		elsewhere := viaTransport(t, ctx, func(c *proxy.ClientConfig) { c.TLSRoutingEnabled = false })
		auth := must(client.New(ctx, must(elsewhere.ClientConfig(ctx, "other.example"))))
		defer auth.Close()
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err = auth.Ping(short)
		holds(t, "no auth service of another cluster: "+errorText(err), err != nil)
	})
	step(t, "nothing without a certificate of the cluster", func(t *testing.T, ctx context.Context) {
		c := viaTransport(t, ctx, func(c *proxy.ClientConfig) {
			inner := c.TLSConfigFunc
			c.TLSConfigFunc = func(cluster string) (*tls.Config, error) {
				config, err := inner(cluster)
				if err == nil {
					config.Certificates, config.GetClientCertificate = nil, nil
				}
				return config, err
			}
		})
		_, err := c.ClusterDetails(ctx)
		refused(t, "no certificate", trace.IsAccessDenied, err)
	})
}

// TestProxyJoining joins by the proxy's gRPC, which asks for no certificate.
func TestProxyJoining(t *testing.T) {
	defer guard(t)
	host, _, _ := net.SplitHostPort(proxyAddress)
	config := &tls.Config{ServerName: host, RootCAs: authorities(), NextProtos: []string{"teleport-proxy-grpc"}}
	connection := must(grpc.NewClient(proxyAddress, grpc.WithTransportCredentials(credentials.NewTLS(config))))
	defer connection.Close()
	step(t, "a bot", func(t *testing.T, ctx context.Context) {
		token := botToken(ctx, admin(t), "by-proxy", "by-proxy-"+uuid.NewString())
		key, certs, err := register(ctx, connection, token)
		done(err)
		bot := connect(t, pair(key, certs))
		equal(t, "user", must(bot.GetCurrentUser(ctx)).GetName(), "bot-by-proxy")
		_, _, err = register(ctx, connection, token)
		refused(t, "a second time", isDenied, err)
	})
	step(t, "a token that there is not", func(t *testing.T, ctx context.Context) {
		_, _, err := register(ctx, connection, "no-such-token")
		refused(t, "token", isDenied, err)
	})
	step(t, "nothing else", func(t *testing.T, ctx context.Context) {
		_, err := proto.NewAuthServiceClient(connection).Ping(ctx, &proto.PingRequest{})
		refused(t, "Ping", func(err error) bool { return status.Code(err) == codes.Unimplemented }, err)
	})
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
