package goclient

import (
	"context"
	"fmt"
	"testing"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/constants"
	machineid "github.com/gravitational/teleport/api/gen/proto/go/teleport/machineid/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

func createBot(name string) *machineid.CreateBotRequest {
	return &machineid.CreateBotRequest{Bot: newBot(name, "go-reader")}
}

func upsertBot(name string) *machineid.UpsertBotRequest {
	return &machineid.UpsertBotRequest{Bot: newBot(name, "go-reader")}
}

func newApp(name string) *types.AppV3 {
	return must(types.NewAppV3(types.Metadata{Name: name, Description: "an app", Labels: map[string]string{"env": "dev"}}, types.AppSpecV3{
		URI: "http://127.0.0.1:8080", PublicAddr: name + ".example.com",
		Rewrite: &types.Rewrite{Headers: []*types.Header{{Name: "X-A", Value: "{{internal.logins}}"}}},
	}))
}

func TestApps(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "create, get, list", func(t *testing.T, ctx context.Context) {
		done(c.CreateApp(ctx, newApp("apps-a")))
		refused(t, "again", trace.IsAlreadyExists, c.CreateApp(ctx, newApp("apps-a")))
		got := must(c.GetApp(ctx, "apps-a"))
		equal(t, "URI", got.GetURI(), "http://127.0.0.1:8080")
		equal(t, "public address", got.GetPublicAddr(), "apps-a.example.com")
		equal(t, "label", got.GetStaticLabels()["env"], "dev")
		equal(t, "header", *got.GetRewrite().Headers[0], types.Header{Name: "X-A", Value: "{{internal.logins}}"})
		holds(t, "there is a revision", got.GetRevision() != "")
		done(c.CreateApp(ctx, newApp("apps-b")))
		equal(t, "all", sorted(names(must(c.GetApps(ctx)))), "apps-a apps-b")
	})
	step(t, "update", func(t *testing.T, ctx context.Context) {
		app := must(c.GetApp(ctx, "apps-a"))
		old := app.GetRevision()
		app.SetURI("http://127.0.0.1:9090")
		done(c.UpdateApp(ctx, app))
		equal(t, "URI", must(c.GetApp(ctx, "apps-a")).GetURI(), "http://127.0.0.1:9090")
		app.SetRevision(old)
		refused(t, "stale", trace.IsCompareFailed, c.UpdateApp(ctx, app))
		refused(t, "an unknown one", func(err error) bool { return trace.IsNotFound(err) || trace.IsCompareFailed(err) }, c.UpdateApp(ctx, newApp("apps-unknown")))
	})
	step(t, "bad documents are BadParameter", func(t *testing.T, ctx context.Context) {
		app := newApp("apps-bad")
		app.Spec.URI = ""
		refused(t, "no URI", trace.IsBadParameter, c.CreateApp(ctx, app))
	})
	step(t, "delete, then NotFound", func(t *testing.T, ctx context.Context) {
		done(c.DeleteApp(ctx, "apps-a"))
		_, err := c.GetApp(ctx, "apps-a")
		refused(t, "get", trace.IsNotFound, err)
		refused(t, "delete again", trace.IsNotFound, c.DeleteApp(ctx, "apps-a"))
		done(c.DeleteAllApps(ctx))
		equal(t, "left", len(must(c.GetApps(ctx))), 0)
	})
}

func TestAppServers(t *testing.T) {
	defer guard(t)
	c := admin(t)
	const host = "8f1bb7a1-2d15-4b5c-9a67-2f3c52f5f0aa"
	step(t, "upsert gives a keep-alive", func(t *testing.T, ctx context.Context) {
		for i := range 5 {
			app := newApp(fmt.Sprintf("server-%d", i))
			if i == 4 {
				app.Metadata.Labels = map[string]string{"env": "prod"}
			}
			kept := must(c.UpsertApplicationServer(ctx, must(types.NewAppServerV3FromApp(app, "host-a", host))))
			equal(t, "name", kept.Name, app.GetName())
			equal(t, "host", kept.HostID, host)
			equal(t, "type", kept.GetType(), constants.KeepAliveApp)
		}
	})
	list := func(ctx context.Context, request proto.ListResourcesRequest) *types.ListResourcesResponse {
		request.ResourceType, request.Namespace = types.KindAppServer, "default"
		if request.Limit == 0 {
			request.Limit = 100
		}
		return must(c.ListResources(ctx, request))
	}
	step(t, "ListResources in pages", func(t *testing.T, ctx context.Context) {
		first := list(ctx, proto.ListResourcesRequest{Limit: 2})
		equal(t, "first page", names(first.Resources), "server-0 server-1")
		second := list(ctx, proto.ListResourcesRequest{Limit: 2, StartKey: first.NextKey})
		equal(t, "second page", names(second.Resources), "server-2 server-3")
		third := list(ctx, proto.ListResourcesRequest{Limit: 2, StartKey: second.NextKey})
		equal(t, "third page", names(third.Resources), "server-4")
		equal(t, "the end", third.NextKey, "")
		servers := must(client.GetAllResources[types.AppServer](ctx, c, &proto.ListResourcesRequest{Namespace: "default", ResourceType: types.KindAppServer}))
		equal(t, "all", len(servers), 5)
		equal(t, "host", servers[0].GetHostID(), host)
		equal(t, "app", servers[0].GetApp().GetURI(), "http://127.0.0.1:8080")
		equal(t, "GetApplicationServers", len(must(c.GetApplicationServers(ctx, "default"))), 5)
	})
	step(t, "ListResources filtered", func(t *testing.T, ctx context.Context) {
		equal(t, "by label", names(list(ctx, proto.ListResourcesRequest{Labels: map[string]string{"env": "prod"}}).Resources), "server-4")
		equal(t, "by keyword", names(list(ctx, proto.ListResourcesRequest{SearchKeywords: []string{"server-2"}}).Resources), "server-2")
		equal(t, "by predicate", names(list(ctx, proto.ListResourcesRequest{PredicateExpression: `labels["env"] == "prod"`}).Resources), "server-4")
		_, err := c.ListResources(ctx, proto.ListResourcesRequest{ResourceType: types.KindAppServer, Namespace: "default", Limit: 10, PredicateExpression: "((("})
		refused(t, "a broken predicate", trace.IsBadParameter, err)
	})
	step(t, "who may reach none sees none", func(t *testing.T, ctx context.Context) {
		found, err := as(t, "nothing").GetApplicationServers(ctx, "default")
		holds(t, fmt.Sprintf("nothing, or denied: %v", err), len(found) == 0 && (err == nil || trace.IsAccessDenied(err)))
	})
	step(t, "delete", func(t *testing.T, ctx context.Context) {
		done(c.DeleteApplicationServer(ctx, "default", host, "server-0"))
		equal(t, "left", len(must(c.GetApplicationServers(ctx, "default"))), 4)
		refused(t, "again", trace.IsNotFound, c.DeleteApplicationServer(ctx, "default", host, "server-0"))
		done(c.DeleteAllApplicationServers(ctx, "default"))
		equal(t, "left", len(must(c.GetApplicationServers(ctx, "default"))), 0)
	})
	step(t, "kinds that do not exist yet", func(t *testing.T, ctx context.Context) {
		_, err := c.ListResources(ctx, proto.ListResourcesRequest{ResourceType: types.KindDatabaseServer, Namespace: "default", Limit: 10})
		refused(t, "databases", trace.IsNotImplemented, err)
		_, err = c.ListResources(ctx, proto.ListResourcesRequest{ResourceType: "gnome", Namespace: "default", Limit: 10})
		refused(t, "no kind at all", func(err error) bool { return trace.IsNotImplemented(err) || trace.IsBadParameter(err) }, err)
	})
}
