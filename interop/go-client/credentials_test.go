package goclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/identityfile"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// loads checks that the credentials load in every form they have, and that a connection with them is `user`.
func loads(t *testing.T, ctx context.Context, user string, hasSSH bool, credentials client.Credentials) {
	t.Helper()
	must(credentials.TLSConfig())
	if hasSSH {
		ssh := must(credentials.SSHClientConfig())
		holds(t, "there is an SSH host check", ssh.HostKeyCallback != nil)
	}
	c := connect(t, credentials)
	ping := must(c.Ping(ctx))
	equal(t, "cluster", ping.ClusterName, cluster)
	if user != "" {
		equal(t, "current user", must(c.GetCurrentUser(ctx)).GetName(), user)
	}
}

func TestCredentials(t *testing.T) {
	step(t, "LoadIdentityFile", func(t *testing.T, ctx context.Context) {
		credentials := client.LoadIdentityFile(file("admin.pem"))
		loads(t, ctx, "admin", true, credentials)
		expiry, known := credentials.Expiry()
		holds(t, "it ends within the hour", known && expiry.After(time.Now()) && expiry.Before(time.Now().Add(61*time.Minute)))
	})
	step(t, "LoadIdentityFileFromString", func(t *testing.T, ctx context.Context) {
		loads(t, ctx, "admin", true, client.LoadIdentityFileFromString(string(must(os.ReadFile(file("admin.pem"))))))
	})
	step(t, "LoadKeyPair", func(t *testing.T, ctx context.Context) {
		loads(t, ctx, "admin", false, client.LoadKeyPair(file("admin.crt"), file("admin.key"), file("admin.cas")))
	})
	step(t, "KeyPair", func(t *testing.T, ctx context.Context) {
		read := func(name string) []byte { return must(os.ReadFile(file(name))) }
		loads(t, ctx, "admin", false, must(client.KeyPair(read("admin.crt"), read("admin.key"), read("admin.cas"))))
	})
	step(t, "LoadTLS", func(t *testing.T, ctx context.Context) {
		pool := x509.NewCertPool()
		holds(t, "there are CAs", pool.AppendCertsFromPEM(must(os.ReadFile(file("admin.cas")))))
		certificate := must(tls.LoadX509KeyPair(file("admin.crt"), file("admin.key")))
		loads(t, ctx, "admin", false, client.LoadTLS(&tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: pool}))
	})
	step(t, "NewDynamicIdentityFileCreds reloads", func(t *testing.T, ctx context.Context) {
		path := t.TempDir() + "/identity"
		done(os.WriteFile(path, must(os.ReadFile(file("admin.pem"))), 0o600))
		credentials := must(client.NewDynamicIdentityFileCreds(path))
		loads(t, ctx, "admin", true, credentials)
		before, _ := credentials.Expiry()
		done(os.WriteFile(path, must(os.ReadFile(file("lockee.pem"))), 0o600))
		done(credentials.Reload())
		after, _ := credentials.Expiry()
		holds(t, "the new file is read", after.After(before))
		equal(t, "a new connection is of the other user", must(connect(t, credentials).GetCurrentUser(ctx)).GetName(), "lockee")
	})
	step(t, "ALPN names the cluster", func(t *testing.T, ctx context.Context) {
		c := must(client.New(ctx, client.Config{
			Addrs:                      []string{address},
			Credentials:                []client.Credentials{client.LoadIdentityFile(file("admin.pem"))},
			ALPNSNIAuthDialClusterName: cluster,
		}))
		defer c.Close()
		must(c.Ping(ctx))
	})
	step(t, "the identity file survives the client's own writer", func(t *testing.T, ctx context.Context) {
		identity := must(identityfile.ReadFile(file("admin.pem")))
		holds(t, "there are lines for known_hosts", len(identity.CACerts.SSH) > 0)
		path := t.TempDir() + "/again"
		done(identityfile.Write(identity, path))
		loads(t, ctx, "admin", true, client.LoadIdentityFile(path))
		equal(t, "bytes", strings.TrimSpace(string(must(os.ReadFile(path)))), strings.TrimSpace(string(must(os.ReadFile(file("admin.pem"))))))
	})
	step(t, "a bot's identity file", func(t *testing.T, ctx context.Context) {
		credentials := client.LoadIdentityFile(file("ci-out/identity"))
		loads(t, ctx, "", true, credentials)
		c := connect(t, credentials)
		equal(t, "role", must(c.GetRole(ctx, "go-reader")).GetName(), "go-reader")
		dynamic := must(client.NewDynamicIdentityFileCreds(file("ci-out/identity")))
		loads(t, ctx, "", true, dynamic)
	})
}

func TestPing(t *testing.T) {
	step(t, "says who and what the server is", func(t *testing.T, ctx context.Context) {
		c := admin(t)
		ping := must(c.Ping(ctx))
		equal(t, "cluster", ping.ClusterName, cluster)
		holds(t, "the version is of the 18 line: "+ping.ServerVersion, strings.HasPrefix(ping.ServerVersion, "18."))
		holds(t, "the suite is set", ping.SignatureAlgorithmSuite != 0)
		equal(t, "domain name", must(c.GetDomainName(ctx)), cluster)
		var header metadata.MD
		must(proto.NewAuthServiceClient(c.GetConnection()).Ping(ctx, &proto.PingRequest{}, grpc.Header(&header)))
		equal(t, "the version is in the header", header.Get("version"), []string{ping.ServerVersion})
	})
}
