package goclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// authorities is the CAs of the cluster's servers.
func authorities() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(file("admin.cas"))))
	return pool
}

// selfSigned is a certificate of a CA that nobody here knows; it says what the real ones say.
func selfSigned(name string) (tls.Certificate, *x509.Certificate) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"editor"}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, must(x509.ParseCertificate(der))
}

func TestStrangers(t *testing.T) {
	step(t, "no certificate: Ping and the CA, nothing else", func(t *testing.T, ctx context.Context) {
		c := connect(t, client.LoadTLS(&tls.Config{RootCAs: authorities()}))
		equal(t, "cluster", must(c.Ping(ctx)).ClusterName, cluster)
		equal(t, "domain", must(c.GetDomainName(ctx)), cluster)
		block, _ := pem.Decode(must(c.GetClusterCACert(ctx)).TLSCA)
		certificate := must(x509.ParseCertificate(block.Bytes))
		sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
		equal(t, "the pin that tctl status shows", "sha256:"+hex.EncodeToString(sum[:]), pin)
		for what, call := range map[string]func() error{
			"roles":       func() error { _, err := c.GetRoles(ctx); return err },
			"a token":     func() error { return c.DeleteToken(ctx, "x") },
			"authorities": func() error { _, err := c.GetCertAuthorities(ctx, types.HostCA, false); return err },
			"certificates": func() error {
				_, _, err := issue(ctx, c, proto.UserCertsRequest{Username: "admin", Expires: time.Now().Add(time.Minute)})
				return err
			},
			"events": func() error {
				_, _, err := c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now(), "default", nil, 10, types.EventOrderAscending, "")
				return err
			},
			"the auth preference": func() error { _, err := c.GetAuthPreference(ctx); return err },
		} {
			refused(t, what, trace.IsAccessDenied, call())
		}
		watcher := must(c.NewWatcher(ctx, types.Watch{Kinds: []types.WatchKind{{Kind: types.KindRole}}}))
		select {
		case event := <-watcher.Events():
			t.Errorf("a watch was given: %v", event.Type)
		case <-watcher.Done():
			refused(t, "a watch", trace.IsAccessDenied, watcher.Error())
		}
	})
	step(t, "a certificate of a foreign CA: no connection", func(t *testing.T, ctx context.Context) {
		foreign, _ := selfSigned("admin")
		_, err := client.New(ctx, client.Config{
			Addrs: []string{address}, DialTimeout: 2 * time.Second,
			Credentials: []client.Credentials{client.LoadTLS(&tls.Config{RootCAs: authorities(), Certificates: []tls.Certificate{foreign}})},
		})
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
	})
	step(t, "a client that trusts another CA: no connection", func(t *testing.T, ctx context.Context) {
		_, certificate := selfSigned("other")
		pool := x509.NewCertPool()
		pool.AddCert(certificate)
		_, err := client.New(ctx, client.Config{
			Addrs: []string{address}, DialTimeout: 2 * time.Second, Credentials: []client.Credentials{client.LoadTLS(&tls.Config{RootCAs: pool})},
		})
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
	})
}

func TestNoPermission(t *testing.T) {
	defer guard(t)
	c := as(t, "nothing")
	step(t, "every noun is AccessDenied, and says no more", func(t *testing.T, ctx context.Context) {
		for what, call := range map[string]func() error{
			"a role":         func() error { _, err := c.GetRole(ctx, "editor"); return err },
			"an absent role": func() error { _, err := c.GetRole(ctx, "no-such-role"); return err },
			"roles":          func() error { _, err := c.GetRoles(ctx); return err },
			"create role":    func() error { _, err := c.CreateRole(ctx, newRole("nothing-a")); return err },
			"delete role":    func() error { return c.DeleteRole(ctx, "editor") },
			"users":          func() error { _, err := c.GetUsers(ctx, false); return err },
			"another user":   func() error { _, err := c.GetUser(ctx, "admin", false); return err },
			"tokens":         func() error { _, err := c.GetTokens(ctx); return err },
			"a token":        func() error { _, err := c.GetToken(ctx, "no-such-token"); return err },
			"a lock": func() error {
				return c.UpsertLock(ctx, must(types.NewLock("x", types.LockSpecV2{Target: types.LockTarget{User: "admin"}})))
			},
			"a bot":        func() error { _, err := c.BotServiceClient().CreateBot(ctx, createBot("nothing-a")); return err },
			"apps":         func() error { return c.CreateApp(ctx, newApp("nothing-a")) },
			"authorities":  func() error { _, err := c.GetCertAuthorities(ctx, types.HostCA, true); return err },
			"the audit":    func() error { _, err := search(ctx, c, types.EventOrderAscending, 10); return err },
			"role, by pen": func() error { _, err := c.UpsertRole(ctx, newRole("go-nothing")); return err },
		} {
			err := call()
			refused(t, what, trace.IsAccessDenied, err)
			if err != nil && strings.Contains(err.Error(), "go-nothing") {
				t.Errorf("%s: the refusal tells which role decided: %v", what, err)
			}
		}
	})
	step(t, "itself it may see", func(t *testing.T, ctx context.Context) {
		equal(t, "user", must(c.GetCurrentUser(ctx)).GetName(), "nothing")
		equal(t, "roles", names(must(c.GetCurrentUserRoles(ctx))), "go-nothing")
	})
}

func TestErrorKinds(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "NotImplemented", func(t *testing.T, ctx context.Context) {
		_, _, err := c.ListUserGroups(ctx, 1, "")
		refused(t, "a method that is not there", trace.IsNotImplemented, err)
		_, err = c.GetNetworkRestrictions(ctx)
		refused(t, "another", trace.IsNotImplemented, err)
		_, _, err = c.ListIntegrations(ctx, 1, "")
		refused(t, "a service that is not there", trace.IsNotImplemented, err)
	})
	step(t, "LimitExceeded", func(t *testing.T, ctx context.Context) {
		role := newRole("errors-large").(*types.RoleV6)
		role.Metadata.Description = strings.Repeat("x", 20<<20)
		_, err := c.CreateRole(ctx, role)
		refused(t, "a message of 20 MiB", trace.IsLimitExceeded, err)
		must(c.Ping(ctx))
	})
	step(t, "the breaker stays closed under refusals", func(t *testing.T, ctx context.Context) {
		for range 30 {
			_, err := c.GetRole(ctx, "no-such-role")
			refused(t, "get", trace.IsNotFound, err)
		}
		must(c.Ping(ctx))
	})
}
