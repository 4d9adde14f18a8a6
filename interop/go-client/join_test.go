package goclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	machineid "github.com/gravitational/teleport/api/gen/proto/go/teleport/machineid/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/utils/keys"
	"github.com/gravitational/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// anonymous is a plain connection without a client certificate, for the join service.
func anonymous(pool *x509.CertPool) *grpc.ClientConn {
	tlsConfig := &tls.Config{RootCAs: pool, ServerName: "teleport.cluster.local", NextProtos: []string{"h2"}}
	return must(grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig))))
}

// isDenied reads a plain status: this connection has none of the client's interceptors.
func isDenied(err error) bool { return status.Code(trace.Unwrap(err)) == codes.PermissionDenied }

// register joins as a bot.
func register(ctx context.Context, connection *grpc.ClientConn, token string) (*keys.PrivateKey, *proto.Certs, error) {
	key, expires := newKey(), time.Now().Add(30*time.Minute)
	joining := client.NewJoinServiceClient(proto.NewJoinServiceClient(connection))
	certs, err := joining.RegisterUsingToken(ctx, &types.RegisterUsingTokenRequest{
		Token: token, Role: types.RoleBot, Expires: &expires,
		PublicTLSKey: must(key.MarshalTLSPublicKey()), PublicSSHKey: key.MarshalSSHPublicKey(),
	})
	return key, certs, err
}

// botToken makes a bot's token for one use.
func botToken(ctx context.Context, c *client.Client, bot, token string) string {
	must(c.BotServiceClient().UpsertBot(ctx, upsertBot(bot)))
	spec := types.ProvisionTokenSpecV2{Roles: []types.SystemRole{types.RoleBot}, JoinMethod: types.JoinMethodToken, BotName: bot}
	done(c.CreateToken(ctx, must(types.NewProvisionTokenFromSpec(token, time.Now().Add(time.Hour), spec))))
	return token
}

// renew asks for the next generation with fresh keys.
func renew(ctx context.Context, c *client.Client, bot string) (*keys.PrivateKey, *proto.Certs, error) {
	return issue(ctx, c, proto.UserCertsRequest{Username: "bot-" + bot, Expires: time.Now().Add(30 * time.Minute)})
}

func TestJoin(t *testing.T) {
	defer guard(t)
	c := admin(t)
	connection := anonymous(authorities())
	defer connection.Close()
	step(t, "with a token, renew, and take on a role", func(t *testing.T, ctx context.Context) {
		token := botToken(ctx, c, "join-a", "join-token-0123456789abcdef")
		_, _, err := register(ctx, connection, "no-such-token")
		refused(t, "an unknown token", isDenied, err)
		key, certs, err := register(ctx, connection, token)
		done(err)
		_, _, err = register(ctx, connection, token)
		refused(t, "a second time", isDenied, err)
		bot := connect(t, pair(key, certs))
		equal(t, "user", must(bot.GetCurrentUser(ctx)).GetName(), "bot-join-a")
		key, certs, err = renew(ctx, bot, "join-a")
		done(err)
		renewed := connect(t, pair(key, certs))
		key, certs, err = issue(ctx, renewed, proto.UserCertsRequest{
			Username: "bot-join-a", Expires: time.Now().Add(10 * time.Minute), RoleRequests: []string{"go-reader"}, UseRoleRequests: true,
		})
		done(err)
		must(connect(t, pair(key, certs)).GetRole(ctx, "go-reader"))
		_, _, err = issue(ctx, renewed, proto.UserCertsRequest{
			Username: "bot-join-a", Expires: time.Now().Add(10 * time.Minute), RoleRequests: []string{"editor"}, UseRoleRequests: true,
		})
		refused(t, "a role that was not given to it", trace.IsAccessDenied, err)

		must(renewed.BotInstanceServiceClient().SubmitHeartbeat(ctx, &machineid.SubmitHeartbeatRequest{Heartbeat: heartbeat()}))
		eventually(t, "the heartbeat and the renewal are in the instance", func() error {
			page := must(c.BotInstanceServiceClient().ListBotInstances(ctx, &machineid.ListBotInstancesRequest{FilterBotName: "join-a"}))
			for _, instance := range page.GetBotInstances() {
				beats, arrivals := instance.GetStatus().GetLatestHeartbeats(), instance.GetStatus().GetLatestAuthentications()
				if len(beats) > 0 && beats[0].GetHostname() == "go" && len(arrivals) > 0 && arrivals[len(arrivals)-1].GetGeneration() == 2 {
					return nil
				}
			}
			return fmt.Errorf("%v", page.GetBotInstances())
		})
	})
	step(t, "sixteen at once with one token: one of them", func(t *testing.T, ctx context.Context) {
		token := botToken(ctx, c, "join-race", "join-race-0123456789abcdef")
		results := make(chan error, 16)
		for range cap(results) {
			go func() {
				_, _, err := register(ctx, connection, token)
				results <- err
			}()
		}
		won := 0
		for range cap(results) {
			if err := <-results; err == nil {
				won++
			} else {
				refused(t, "the others", isDenied, err)
			}
		}
		equal(t, "how many", won, 1)
	})
	step(t, "a copied identity locks its instance, not the bot", func(t *testing.T, ctx context.Context) {
		key, certs, err := register(ctx, connection, botToken(ctx, c, "join-copy", "join-copy-0123456789abcdef"))
		done(err)
		first := connect(t, pair(key, certs))
		key, certs, err = renew(ctx, first, "join-copy")
		done(err)
		second := connect(t, pair(key, certs))
		key, certs, err = renew(ctx, second, "join-copy")
		done(err)
		third := connect(t, pair(key, certs))
		must(third.Ping(ctx))
		_, _, err = renew(ctx, first, "join-copy")
		refused(t, "the copy", trace.IsAccessDenied, err)
		eventually(t, "the other one is locked too", func() error {
			if _, err := third.GetCurrentUser(ctx); !trace.IsAccessDenied(err) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
		key, certs, err = register(ctx, connection, botToken(ctx, c, "join-copy", "join-copy-fedcba9876543210"))
		done(err)
		_, _, err = renew(ctx, connect(t, pair(key, certs)), "join-copy")
		done(err)
		holds(t, "the lock can be listed", len(must(c.GetLocks(ctx, true))) > 0)
	})
	step(t, "methods that are not built are refused by name", func(t *testing.T, ctx context.Context) {
		_, _, err := register(ctx, connection, "tokens-github")
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
		trips := status.Code(trace.Unwrap(err))
		holds(t, "with a code that trips no breaker: "+trips.String(), trips == codes.PermissionDenied || trips == codes.Unimplemented || trips == codes.InvalidArgument)
	})
	step(t, "a deleted bot is out", func(t *testing.T, ctx context.Context) {
		key, certs, err := register(ctx, connection, botToken(ctx, c, "join-gone", "join-gone-0123456789abcdef"))
		done(err)
		bot := connect(t, pair(key, certs))
		must(bot.GetCurrentUser(ctx))
		must(c.BotServiceClient().DeleteBot(ctx, &machineid.DeleteBotRequest{BotName: "join-gone"}))
		eventually(t, "its live connection is refused", func() error {
			if _, _, err := renew(ctx, bot, "join-gone"); !trace.IsAccessDenied(err) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
	})
}
