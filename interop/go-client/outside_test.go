package goclient

import (
	"context"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/webclient"
)

// TestOutside reaches the cluster by what the environment says, which may be a way out of the network: see interop/outside.
func TestOutside(t *testing.T) {
	step(t, "discovery", func(t *testing.T, ctx context.Context) {
		found := must(webclient.Find(&webclient.Config{Context: ctx, ProxyAddr: proxyAddress}))
		equal(t, "cluster", found.ClusterName, cluster)
	})
	step(t, "authConnect, by TLS routing", func(t *testing.T, ctx context.Context) {
		c := must(client.New(ctx, client.Config{
			Addrs: []string{proxyAddress}, Credentials: []client.Credentials{client.LoadKeyPair(file("admin.crt"), file("admin.key"), file("admin.cas"))},
			ALPNSNIAuthDialClusterName: cluster, DialTimeout: 8 * time.Second,
		}))
		defer c.Close()
		equal(t, "current user", must(c.GetCurrentUser(ctx)).GetName(), "admin")
	})
	step(t, "the gRPC of the proxy", func(t *testing.T, ctx context.Context) {
		must(viaTransport(t, ctx, nil).ClusterDetails(ctx))
	})
}
