package goclient

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	headerv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/header/v1"
	machineid "github.com/gravitational/teleport/api/gen/proto/go/teleport/machineid/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func newBot(name string, roles ...string) *machineid.Bot {
	return &machineid.Bot{
		Kind: types.KindBot, Version: types.V1,
		Metadata: &headerv1.Metadata{Name: name},
		Spec:     &machineid.BotSpec{Roles: roles, Traits: []*machineid.Trait{{Name: "logins", Values: []string{"alice"}}}},
	}
}

func heartbeat() *machineid.BotInstanceStatusHeartbeat {
	return &machineid.BotInstanceStatusHeartbeat{
		RecordedAt: timestamppb.Now(), IsStartup: true, Version: "18.0.0", Hostname: "go",
		Uptime: durationpb.New(time.Second), JoinMethod: "token", Os: "linux", Architecture: "amd64",
	}
}

func TestBots(t *testing.T) {
	defer guard(t)
	c := admin(t)
	bots := c.BotServiceClient()
	get := func(ctx context.Context, name string) (*machineid.Bot, error) {
		return bots.GetBot(ctx, &machineid.GetBotRequest{BotName: name})
	}
	step(t, "create makes a user and a role", func(t *testing.T, ctx context.Context) {
		created := must(bots.CreateBot(ctx, &machineid.CreateBotRequest{Bot: newBot("bots-a", "go-reader")}))
		equal(t, "user", created.GetStatus().GetUserName(), "bot-bots-a")
		equal(t, "role", created.GetStatus().GetRoleName(), "bot-bots-a")
		got := must(get(ctx, "bots-a"))
		holds(t, "there is a revision", got.GetMetadata().GetRevision() != "")
		equal(t, "roles", got.GetSpec().GetRoles(), []string{"go-reader"})
		equal(t, "traits", got.GetSpec().GetTraits()[0].GetValues(), []string{"alice"})
		user := must(c.GetUser(ctx, "bot-bots-a", false))
		holds(t, "the user is a bot", user.IsBot())
		equal(t, "its roles", user.GetRoles(), []string{"bot-bots-a"})
		role := must(c.GetRole(ctx, "bot-bots-a"))
		equal(t, "may take on", role.GetImpersonateConditions(types.Allow).Roles, []string{"go-reader"})
		_, err := bots.CreateBot(ctx, &machineid.CreateBotRequest{Bot: newBot("bots-a", "go-reader")})
		refused(t, "again", trace.IsAlreadyExists, err)
	})
	step(t, "update by mask", func(t *testing.T, ctx context.Context) {
		change := newBot("bots-a", "go-reader", "go-nothing")
		change.Spec.Traits = nil
		mask := &fieldmaskpb.FieldMask{Paths: []string{"spec.roles"}}
		updated := must(bots.UpdateBot(ctx, &machineid.UpdateBotRequest{Bot: change, UpdateMask: mask}))
		equal(t, "roles", updated.GetSpec().GetRoles(), []string{"go-reader", "go-nothing"})
		equal(t, "traits are kept", len(must(get(ctx, "bots-a")).GetSpec().GetTraits()), 1)
		_, err := bots.UpdateBot(ctx, &machineid.UpdateBotRequest{Bot: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"status.user_name"}}})
		refused(t, "a path that is not for writing", func(err error) bool { return trace.IsBadParameter(err) || trace.IsNotImplemented(err) }, err)
		_, err = bots.UpdateBot(ctx, &machineid.UpdateBotRequest{Bot: newBot("bots-unknown", "go-reader"), UpdateMask: mask})
		refused(t, "an unknown bot", trace.IsNotFound, err)
	})
	step(t, "upsert", func(t *testing.T, ctx context.Context) {
		must(bots.UpsertBot(ctx, &machineid.UpsertBotRequest{Bot: newBot("bots-b", "go-reader")}))
		again := must(bots.UpsertBot(ctx, &machineid.UpsertBotRequest{Bot: newBot("bots-b", "go-nothing")}))
		equal(t, "roles", again.GetSpec().GetRoles(), []string{"go-nothing"})
	})
	step(t, "list in pages", func(t *testing.T, ctx context.Context) {
		for i := range 7 {
			must(bots.UpsertBot(ctx, &machineid.UpsertBotRequest{Bot: newBot(fmt.Sprintf("bots-page-%d", i), "go-reader")}))
		}
		seen, token := map[string]int{}, ""
		for {
			page := must(bots.ListBots(ctx, &machineid.ListBotsRequest{PageSize: 3, PageToken: token}))
			holds(t, "a page is full, or the last", len(page.GetBots()) == 3 || page.GetNextPageToken() == "")
			for _, bot := range page.GetBots() {
				seen[bot.GetMetadata().GetName()]++
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		for i := range 7 {
			equal(t, "how often", seen[fmt.Sprintf("bots-page-%d", i)], 1)
		}
	})
	step(t, "bad documents are BadParameter", func(t *testing.T, ctx context.Context) {
		for what, bot := range map[string]*machineid.Bot{
			"no name": newBot("", "go-reader"), "an empty role": newBot("bots-bad", ""), "a pattern": newBot("bots-bad", "*"), "nothing": nil,
		} {
			_, err := bots.CreateBot(ctx, &machineid.CreateBotRequest{Bot: bot})
			refused(t, what, trace.IsBadParameter, err)
		}
	})
	step(t, "delete takes user and role along", func(t *testing.T, ctx context.Context) {
		must(bots.DeleteBot(ctx, &machineid.DeleteBotRequest{BotName: "bots-a"}))
		_, err := get(ctx, "bots-a")
		refused(t, "get", trace.IsNotFound, err)
		_, err = c.GetUser(ctx, "bot-bots-a", false)
		refused(t, "its user", trace.IsNotFound, err)
		_, err = c.GetRole(ctx, "bot-bots-a")
		refused(t, "its role", trace.IsNotFound, err)
		_, err = bots.DeleteBot(ctx, &machineid.DeleteBotRequest{BotName: "bots-a"})
		refused(t, "delete again", trace.IsNotFound, err)
	})
}

func TestBotInstances(t *testing.T) {
	defer guard(t)
	c := admin(t)
	instances := c.BotInstanceServiceClient()
	var id string
	step(t, "list by bot, and get", func(t *testing.T, ctx context.Context) {
		page := must(instances.ListBotInstances(ctx, &machineid.ListBotInstancesRequest{FilterBotName: "ci"}))
		equal(t, "instances", len(page.GetBotInstances()), 1)
		id = page.GetBotInstances()[0].GetSpec().GetInstanceId()
		got := must(instances.GetBotInstance(ctx, &machineid.GetBotInstanceRequest{BotName: "ci", InstanceId: id}))
		equal(t, "bot", got.GetSpec().GetBotName(), "ci")
		first := got.GetStatus().GetInitialAuthentication()
		equal(t, "method", first.GetJoinMethod(), "token")
		holds(t, "it joined just now", time.Since(first.GetAuthenticatedAt().AsTime()) < 10*time.Minute)
		holds(t, "there is a public key", len(first.GetPublicKey()) > 0)
		none := must(instances.ListBotInstances(ctx, &machineid.ListBotInstancesRequest{FilterBotName: "nobody"}))
		equal(t, "of an unknown bot", len(none.GetBotInstances()), 0)
	})
	step(t, "heartbeats are for the bot's own identity", func(t *testing.T, ctx context.Context) {
		beat := &machineid.SubmitHeartbeatRequest{Heartbeat: heartbeat()}
		_, err := instances.SubmitHeartbeat(ctx, beat)
		refused(t, "of somebody who is no bot", trace.IsAccessDenied, err)
		_, err = connect(t, client.LoadIdentityFile(file("ci-out/identity"))).BotInstanceServiceClient().SubmitHeartbeat(ctx, beat)
		refused(t, "with an output's identity", trace.IsAccessDenied, err)
	})
	step(t, "unknown instances are NotFound", func(t *testing.T, ctx context.Context) {
		_, err := instances.GetBotInstance(ctx, &machineid.GetBotInstanceRequest{BotName: "ci", InstanceId: "00000000-0000-4000-8000-000000000000"})
		refused(t, "get", trace.IsNotFound, err)
		_, err = instances.DeleteBotInstance(ctx, &machineid.DeleteBotInstanceRequest{BotName: "ci", InstanceId: "00000000-0000-4000-8000-000000000000"})
		refused(t, "delete", trace.IsNotFound, err)
	})
}
