package goclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client/proto"
	auditlogpb "github.com/gravitational/teleport/api/gen/proto/go/teleport/auditlog/v1"
	machineid "github.com/gravitational/teleport/api/gen/proto/go/teleport/machineid/v1"
	mfav1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/mfa/v1"
	trustpb "github.com/gravitational/teleport/api/gen/proto/go/teleport/trust/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/events"
	"github.com/gravitational/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestTools makes the calls that the official tools make beside those of the other tests.
func TestTools(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "an MFA challenge is not needed", func(t *testing.T, ctx context.Context) {
		challenge := must(c.CreateAuthenticateChallenge(ctx, &proto.CreateAuthenticateChallengeRequest{
			Request:             &proto.CreateAuthenticateChallengeRequest_ContextUser{ContextUser: &proto.ContextUser{}},
			MFARequiredCheck:    &proto.IsMFARequiredRequest{Target: &proto.IsMFARequiredRequest_AdminAction{AdminAction: &proto.AdminAction{}}},
			ChallengeExtensions: &mfav1.ChallengeExtensions{Scope: mfav1.ChallengeScope_CHALLENGE_SCOPE_ADMIN_ACTION},
		}))
		equal(t, "required", challenge.MFARequired, proto.MFARequired_MFA_REQUIRED_NO)
	})
	step(t, "capabilities and alerts", func(t *testing.T, ctx context.Context) {
		must(c.GetAccessCapabilities(ctx, types.AccessCapabilitiesRequest{RequestableRoles: true}))
		equal(t, "alerts", len(must(c.GetClusterAlerts(ctx, types.GetClusterAlertsRequest{}))), 0)
	})
	step(t, "an invitation", func(t *testing.T, ctx context.Context) {
		must(c.UpsertUser(ctx, newUser("tools-invited")))
		token := must(c.CreateResetPasswordToken(ctx, &proto.CreateResetPasswordTokenRequest{Name: "tools-invited", Type: "invite", TTL: proto.Duration(time.Hour)}))
		equal(t, "user", token.GetUser(), "tools-invited")
		holds(t, "it has a link: "+token.GetURL(), strings.Contains(token.GetURL(), token.GetName()))
		_, err := c.CreateResetPasswordToken(ctx, &proto.CreateResetPasswordTokenRequest{Name: "no-such-user", Type: "invite"})
		refused(t, "for nobody", trace.IsNotFound, err)
		_, err = as(t, "nothing").CreateResetPasswordToken(ctx, &proto.CreateResetPasswordTokenRequest{Name: "tools-invited", Type: "invite"})
		refused(t, "without the right to", trace.IsAccessDenied, err)
	})
	step(t, "host certificates are for the local administrator", func(t *testing.T, ctx context.Context) {
		request := &trustpb.GenerateHostCertRequest{
			Key: newKey().MarshalSSHPublicKey(), HostId: "host-a", NodeName: "node-a", Principals: []string{"node-a.example.com"},
			ClusterName: cluster, Role: string(types.RoleNode), Ttl: durationpb.New(time.Hour),
		}
		for _, user := range []string{"admin", "nothing"} {
			_, err := as(t, user).TrustClient().GenerateHostCert(ctx, request)
			refused(t, user, trace.IsAccessDenied, err)
		}
	})
	step(t, "nobody but the system writes the audit log", func(t *testing.T, ctx context.Context) {
		event := &events.UserLogin{Metadata: events.Metadata{Type: "user.login", Code: "T1000I"}}
		err := c.EmitAuditEvent(ctx, event)
		refused(t, "an event of one's own", func(err error) bool { return trace.IsAccessDenied(err) || trace.IsNotImplemented(err) }, err)
	})
	step(t, "session events: none yet", func(t *testing.T, ctx context.Context) {
		found, _, err := c.SearchSessionEvents(ctx, time.Now().Add(-time.Hour), time.Now(), 10, types.EventOrderAscending, "")
		done(err)
		equal(t, "found", len(found), 0)
	})
	step(t, "the event-handler's export", func(t *testing.T, ctx context.Context) {
		day := timestamppb.New(time.Now().UTC().Truncate(24 * time.Hour))
		chunks := c.GetEventExportChunks(ctx, &auditlogpb.GetEventExportChunksRequest{Date: day})
		exported := 0
		for chunks.Next() {
			page := c.ExportUnstructuredEvents(ctx, &auditlogpb.ExportUnstructuredEventsRequest{Date: day, Chunk: chunks.Item().GetChunk()})
			for page.Next() {
				holds(t, "it has an identifier and a cursor", page.Item().GetEvent().GetId() != "" && page.Item().GetCursor() != "")
				exported++
			}
			err := page.Done()
			holds(t, fmt.Sprintf("the page ends well: %v", err), err == nil || errors.Is(err, io.EOF) || trace.IsNotImplemented(err))
		}
		err := chunks.Done()
		holds(t, fmt.Sprintf("exported %d, or not built: %v", exported, err), exported > 10 || trace.IsNotImplemented(err))
	})
	step(t, "rotation says that it is not built", func(t *testing.T, ctx context.Context) {
		err := c.RotateCertAuthority(ctx, types.RotateRequest{Type: types.UserCA, TargetPhase: types.RotationPhaseInit, Mode: types.RotationModeManual})
		refused(t, "rotate", func(err error) bool { return trace.IsNotImplemented(err) || trace.IsAccessDenied(err) }, err)
	})
}

// TestTraps holds what has broken clients before.
func TestTraps(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "no expiry stays no expiry", func(t *testing.T, ctx context.Context) {
		holds(t, "role", must(c.UpsertRole(ctx, newRole("traps-role"))).Expiry().IsZero())
		holds(t, "role, read", must(c.GetRole(ctx, "traps-role")).Expiry().IsZero())
		holds(t, "user", must(c.UpsertUser(ctx, newUser("traps-user"))).Expiry().IsZero())
		bot := must(c.BotServiceClient().UpsertBot(ctx, upsertBot("traps-bot")))
		holds(t, "bot", bot.GetMetadata().GetExpires() == nil)
		token := must(types.NewProvisionToken("traps-token", types.SystemRoles{types.RoleNode}, time.Time{}))
		done(c.UpsertToken(ctx, token))
		holds(t, "token", must(c.GetToken(ctx, "traps-token")).Expiry().IsZero())
	})
	step(t, "a later role version is shown as one that this client knows", func(t *testing.T, ctx context.Context) {
		equal(t, "version", must(c.GetRole(ctx, "go-v8")).GetVersion(), types.V7)
		for _, role := range must(c.GetRoles(ctx)) {
			holds(t, "version of "+role.GetName()+": "+role.GetVersion(), role.GetVersion() <= types.V7)
		}
	})
	step(t, "pages stay below what the client takes", func(t *testing.T, ctx context.Context) {
		for i := range 90 {
			role := newRole(fmt.Sprintf("traps-large-%02d", i)).(*types.RoleV6)
			role.Metadata.Description = strings.Repeat("x", 60_000)
			must(c.UpsertRole(ctx, role))
		}
		large := 0
		for _, role := range must(c.GetRoles(ctx)) {
			if strings.HasPrefix(role.GetName(), "traps-large-") {
				large++
				done(c.DeleteRole(ctx, role.GetName()))
			}
		}
		equal(t, "large ones", large, 90)
	})
	step(t, "the bad text of an old message is refused", func(t *testing.T, ctx context.Context) {
		role := newRole("traps-text").(*types.RoleV6)
		role.Metadata.Description = string([]byte{0xff, 0xfe})
		_, err := c.UpsertRole(ctx, role)
		refused(t, "invalid UTF-8", trace.IsBadParameter, err)
	})
	step(t, "names that look alike or hurt", func(t *testing.T, ctx context.Context) {
		for _, name := range []string{"../etc", "a\x00b", "a\nb", strings.Repeat("x", 1<<20), ".", ".."} {
			_, err := c.UpsertRole(ctx, newRole(name))
			refused(t, fmt.Sprintf("role %.10q", name), trace.IsBadParameter, err)
			_, err = c.UpsertUser(ctx, newUser(name))
			refused(t, fmt.Sprintf("user %.10q", name), trace.IsBadParameter, err)
			_, err = c.BotServiceClient().UpsertBot(ctx, upsertBot(name))
			refused(t, fmt.Sprintf("bot %.10q", name), trace.IsBadParameter, err)
		}
		must(c.Ping(ctx))
	})
	step(t, "of many updates with one revision one wins", func(t *testing.T, ctx context.Context) {
		base := must(c.UpsertRole(ctx, newRole("traps-race")))
		results := make(chan error, 12)
		for i := range cap(results) {
			role := newRole("traps-race")
			role.SetRevision(base.GetRevision())
			role.SetLogins(types.Allow, []string{fmt.Sprint("n", i)})
			go func() {
				_, err := c.UpdateRole(ctx, role)
				results <- err
			}()
		}
		won := 0
		for range cap(results) {
			if err := <-results; err == nil {
				won++
			} else {
				refused(t, "the others", trace.IsCompareFailed, err)
			}
		}
		equal(t, "how many", won, 1)
	})
	step(t, "more calls at once than a connection carries", func(t *testing.T, ctx context.Context) {
		results := make(chan error, 600)
		for range cap(results) {
			go func() {
				_, err := c.Ping(ctx)
				results <- err
			}()
		}
		for range cap(results) {
			done(<-results)
		}
	})
	step(t, "empty requests are BadParameter", func(t *testing.T, ctx context.Context) {
		_, err := c.CreateRole(ctx, &types.RoleV6{})
		refused(t, "role", trace.IsBadParameter, err)
		_, err = c.UpsertUser(ctx, &types.UserV2{})
		refused(t, "user", trace.IsBadParameter, err)
		refused(t, "token", trace.IsBadParameter, c.CreateToken(ctx, &types.ProvisionTokenV2{}))
		refused(t, "lock", trace.IsBadParameter, c.UpsertLock(ctx, &types.LockV2{}))
		refused(t, "app", trace.IsBadParameter, c.CreateApp(ctx, &types.AppV3{}))
		_, err = c.UpsertApplicationServer(ctx, &types.AppServerV3{})
		refused(t, "app server", trace.IsBadParameter, err)
		_, err = c.UpsertCertAuthority(ctx, &types.CertAuthorityV2{})
		refused(t, "authority", trace.IsBadParameter, err)
		_, err = c.BotServiceClient().UpsertBot(ctx, &machineid.UpsertBotRequest{})
		refused(t, "bot", trace.IsBadParameter, err)
		_, err = c.BotServiceClient().UpdateBot(ctx, &machineid.UpdateBotRequest{Bot: newBot("traps-bot", "go-reader")})
		refused(t, "bot without a mask", trace.IsBadParameter, err)
		_, err = c.BotServiceClient().GetBot(ctx, &machineid.GetBotRequest{})
		refused(t, "no bot's name", func(err error) bool { return trace.IsBadParameter(err) || trace.IsNotFound(err) }, err)
	})
	step(t, "odd pages", func(t *testing.T, ctx context.Context) {
		_, err := c.BotInstanceServiceClient().ListBotInstances(ctx, &machineid.ListBotInstancesRequest{PageToken: "garbage"})
		refused(t, "a page token of nobody's", trace.IsBadParameter, err)
		_, err = c.ListRoles(ctx, &proto.ListRolesRequest{Limit: -5})
		holds(t, fmt.Sprintf("a negative limit: %v", err), err == nil || trace.IsBadParameter(err))
		_, err = c.ListRoles(ctx, &proto.ListRolesRequest{Limit: 1 << 30})
		done(err)
		_, _, err = c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now(), "default", nil, 10, types.EventOrderAscending, "garbage")
		refused(t, "an event key of nobody's", trace.IsBadParameter, err)
		_, _, err = c.SearchEvents(ctx, time.Now(), time.Now().Add(-time.Hour), "default", nil, 10, types.EventOrderAscending, "")
		holds(t, fmt.Sprintf("a range that runs backwards: %v", err), err == nil || trace.IsBadParameter(err))
		_, _, err = c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now(), "default", nil, 1<<30, types.EventOrderAscending, "")
		holds(t, fmt.Sprintf("a huge limit: %v", err), err == nil || trace.IsBadParameter(err))
	})
	step(t, "a watch that nobody reads holds up nobody", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		defer watcher.Close()
		for i := range 50 {
			role := newRole("traps-backlog").(*types.RoleV6)
			role.Metadata.Description = strings.Repeat(fmt.Sprint(i%10), 20_000)
			must(c.UpsertRole(ctx, role))
		}
		must(c.Ping(ctx))
	})
}
