package goclient

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

const agentHost = "8f1bb7a1-2d15-4b5c-9a67-2f3c52f5f0bb"

// host joins as a part of the cluster and connects.
func host(ctx context.Context, t *testing.T, c *client.Client, role types.SystemRole, id string) *client.Client {
	token := "for-" + role.String() + "-" + id
	spec := types.ProvisionTokenSpecV2{Roles: []types.SystemRole{role}, JoinMethod: types.JoinMethodToken}
	done(c.CreateToken(ctx, must(types.NewProvisionTokenFromSpec(token, time.Now().Add(time.Hour), spec))))
	connection := anonymous(authorities())
	defer connection.Close()
	key := newKey()
	joining := client.NewJoinServiceClient(proto.NewJoinServiceClient(connection))
	certs := must(joining.RegisterUsingToken(ctx, &types.RegisterUsingTokenRequest{
		HostID: id, NodeName: "node", Token: token, Role: role,
		PublicTLSKey: must(key.MarshalTLSPublicKey()), PublicSSHKey: key.MarshalSSHPublicKey(),
	}))
	return connect(t, pair(key, certs))
}

// sessionID reads the way to an application out of a certificate.
func sessionID(certs *proto.Certs) string {
	block, _ := pem.Decode(certs.TLS)
	for _, name := range must(x509.ParseCertificate(block.Bytes)).Subject.Names {
		if name.Type.String() == "1.3.9999.1.4" {
			return name.Value.(string)
		}
	}
	return ""
}

func TestHosts(t *testing.T) {
	defer guard(t)
	c := admin(t)
	// A client ends with the test that it is made for.
	whole := t
	var agent, proxy *client.Client
	app := newApp("hosts-app")
	step(t, "an agent joins, announces an application, and renews", func(t *testing.T, ctx context.Context) {
		agent = host(ctx, whole, c, types.RoleApp, agentHost)
		must(agent.UpsertApplicationServer(ctx, must(types.NewAppServerV3FromApp(app, "node", agentHost))))
		_, err := agent.UpsertApplicationServer(ctx, must(types.NewAppServerV3FromApp(app, "node", "8f1bb7a1-2d15-4b5c-9a67-2f3c52f5f0cc")))
		refused(t, "another host", trace.IsAccessDenied, err)
		must(agent.GetRole(ctx, "go-reader"))
		_, err = agent.GetTokens(ctx)
		refused(t, "tokens", trace.IsAccessDenied, err)
		key := newKey()
		request := func(id string, role types.SystemRole) *proto.HostCertsRequest {
			return &proto.HostCertsRequest{
				HostID: id, NodeName: "node", Role: role, PublicTLSKey: must(key.MarshalTLSPublicKey()), PublicSSHKey: key.MarshalSSHPublicKey(),
			}
		}
		certs := must(agent.GenerateHostCerts(ctx, request(agentHost, types.RoleApp)))
		must(connect(t, pair(key, certs)).Ping(ctx))
		_, err = agent.GenerateHostCerts(ctx, request(agentHost, types.RoleProxy))
		refused(t, "another role", trace.IsAccessDenied, err)
		_, err = c.GenerateHostCerts(ctx, request(agentHost, types.RoleApp))
		refused(t, "a person", trace.IsAccessDenied, err)
	})
	step(t, "a session with an application: made, fetched by a proxy, ended", func(t *testing.T, ctx context.Context) {
		proxy = host(ctx, whole, c, types.RoleProxy, "8f1bb7a1-2d15-4b5c-9a67-2f3c52f5f0dd")
		var id string
		eventually(t, "the application is known", func() error {
			_, certs, err := issue(ctx, c, proto.UserCertsRequest{
				Username: "admin", Expires: time.Now().Add(10 * time.Minute),
				RouteToApp: proto.RouteToApp{Name: "hosts-app", PublicAddr: "hosts-app.example.com", ClusterName: cluster},
			})
			if err == nil {
				id = sessionID(certs)
			}
			return err
		})
		session := must(proxy.GetAppSession(ctx, types.GetAppSessionRequest{SessionID: id}))
		equal(t, "user", session.GetUser(), "admin")
		equal(t, "name", session.GetName(), id)
		holds(t, "a proxy gets the session's own key", len(session.GetTLSPriv()) > 0 && len(session.GetTLSCert()) > 0)
		for name, other := range map[string]*client.Client{"agent": agent, "admin": c} {
			_, err := other.GetAppSession(ctx, types.GetAppSessionRequest{SessionID: id})
			refused(t, "GetAppSession by "+name, trace.IsAccessDenied, err)
		}
		_, _, err := proxy.ListAppSessions(ctx, 10, "", "")
		refused(t, "ListAppSessions by a proxy", trace.IsAccessDenied, err)
		_, err = proxy.CreateAppSession(ctx, &proto.CreateAppSessionRequest{Username: "admin", AppName: "hosts-app"})
		refused(t, "CreateAppSession by a proxy", trace.IsAccessDenied, err)
		listed, _, err := c.ListAppSessions(ctx, 10, "", "admin")
		done(err)
		hash := sha256.Sum256([]byte(id))
		equal(t, "how the session is listed", names(listed), hex.EncodeToString(hash[:16]))

		token := must(agent.GenerateAppToken(ctx, types.GenerateAppTokenRequest{
			Username: "admin", URI: app.GetURI(), Expires: time.Now().Add(time.Minute),
		}))
		holds(t, "an assertion", len(token) > 0)
		done(c.DeleteAppSession(ctx, types.DeleteAppSessionRequest{SessionID: id}))
		_, err = proxy.GetAppSession(ctx, types.GetAppSessionRequest{SessionID: id})
		refused(t, "after logout", trace.IsNotFound, err)

		cookie := must(c.CreateAppSession(ctx, &proto.CreateAppSessionRequest{Username: "admin", AppName: "hosts-app", ClusterName: cluster}))
		holds(t, "a bearer token and no key", len(cookie.GetBearerToken()) > 0 && len(cookie.GetTLSPriv()) == 0)
		done(c.DeleteUserAppSessions(ctx, &proto.DeleteUserAppSessionsRequest{Username: "admin"}))
		_, err = c.CreateAppSession(ctx, &proto.CreateAppSessionRequest{Username: "admin", AppName: "hosts-none"})
		refused(t, "an application that is not there", trace.IsNotFound, err)
		done(agent.DeleteApplicationServer(ctx, "default", agentHost, "hosts-app"))
	})
}
