package goclient

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// watching opens a watch and reads its first message.
func watching(t *testing.T, ctx context.Context, c *client.Client, partial bool, kinds ...types.WatchKind) (types.Watcher, types.Event) {
	t.Helper()
	watcher := must(c.NewWatcher(ctx, types.Watch{Kinds: kinds, AllowPartialSuccess: partial}))
	t.Cleanup(func() { watcher.Close() })
	first := next(watcher)
	equal(t, "the first message", first.Type, types.OpInit)
	return watcher, first
}

// next is the next event, or the end of the step.
func next(watcher types.Watcher) types.Event {
	select {
	case event := <-watcher.Events():
		return event
	case <-watcher.Done():
		panic(failure{"watch", fmt.Errorf("the watch ended: %w", watcher.Error())})
	case <-time.After(10 * time.Second):
		panic(failure{"watch", fmt.Errorf("no event in 10 s")})
	}
}

// ended waits for the watch to be refused.
func ended(t *testing.T, what string, is func(error) bool, watcher types.Watcher) {
	t.Helper()
	defer watcher.Close()
	select {
	case event := <-watcher.Events():
		t.Errorf("%s: an event instead: %v", what, event.Type)
	case <-watcher.Done():
		refused(t, what, is, watcher.Error())
	case <-time.After(10 * time.Second):
		t.Errorf("%s: neither an event nor the end in 10 s", what)
	}
}

func TestWatch(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "INIT names the kinds", func(t *testing.T, ctx context.Context) {
		_, first := watching(t, ctx, c, true, types.WatchKind{Kind: types.KindRole}, types.WatchKind{Kind: types.KindLock})
		status := first.Resource.(types.WatchStatus)
		kinds := ""
		for _, kind := range status.GetKinds() {
			kinds += " " + kind.Kind
		}
		equal(t, "kinds", sorted(kinds), "lock role")
	})
	step(t, "put and delete of a role", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		made := must(c.CreateRole(ctx, newRole("watch-a")))
		put := next(watcher)
		equal(t, "put", put.Type, types.OpPut)
		equal(t, "name", put.Resource.GetName(), "watch-a")
		equal(t, "revision", put.Resource.GetRevision(), made.GetRevision())
		equal(t, "logins", put.Resource.(types.Role).GetLogins(types.Deny), []string{"root"})
		done(c.DeleteRole(ctx, "watch-a"))
		gone := next(watcher)
		equal(t, "delete", gone.Type, types.OpDelete)
		equal(t, "kind", gone.Resource.GetKind(), types.KindRole)
		equal(t, "name", gone.Resource.GetName(), "watch-a")
	})
	step(t, "put and delete of a lock", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindLock})
		id := uuid.NewString()
		done(c.UpsertLock(ctx, must(types.NewLock(id, types.LockSpecV2{Target: types.LockTarget{Login: "watched"}}))))
		put := next(watcher)
		equal(t, "target", put.Resource.(types.Lock).Target(), types.LockTarget{Login: "watched"})
		done(c.DeleteLock(ctx, id))
		gone := next(watcher)
		equal(t, "delete", gone.Type, types.OpDelete)
		equal(t, "name", gone.Resource.GetName(), id)
	})
	step(t, "put and delete of a cert_authority", func(t *testing.T, ctx context.Context) {
		filter := types.CertAuthorityFilter{types.UserCA: types.Wildcard}
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindCertAuthority, Filter: filter.IntoMap()})
		must(c.UpsertCertAuthority(ctx, leafAuthority("leaf.example")))
		put := next(watcher)
		authority := put.Resource.(types.CertAuthority)
		equal(t, "cluster", authority.GetClusterName(), "leaf.example")
		holds(t, "no private key", !secret(authority))
		done(c.DeleteCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: "leaf.example"}))
		gone := next(watcher)
		equal(t, "delete", gone.Type, types.OpDelete)
		equal(t, "kind", gone.Resource.GetKind(), types.KindCertAuthority)
		equal(t, "sub-kind", gone.Resource.GetSubKind(), string(types.UserCA))
	})
	step(t, "users, tokens, apps and the configuration", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false,
			types.WatchKind{Kind: types.KindUser}, types.WatchKind{Kind: types.KindToken}, types.WatchKind{Kind: types.KindApp},
			types.WatchKind{Kind: types.KindAppServer}, types.WatchKind{Kind: types.KindClusterNetworkingConfig})
		must(c.UpsertUser(ctx, newUser("watch-user")))
		equal(t, "user", next(watcher).Resource.(types.User).GetName(), "watch-user")
		done(c.UpsertToken(ctx, must(types.NewProvisionToken("watch-token", types.SystemRoles{types.RoleNode}, time.Now().Add(time.Hour)))))
		equal(t, "token", next(watcher).Resource.(types.ProvisionToken).GetName(), "watch-token")
		done(c.CreateApp(ctx, newApp("watch-app")))
		equal(t, "app", next(watcher).Resource.(types.Application).GetName(), "watch-app")
		server := must(types.NewAppServerV3FromApp(newApp("watch-server"), "host-a", uuid.NewString()))
		must(c.UpsertApplicationServer(ctx, server))
		equal(t, "app server", next(watcher).Resource.(types.AppServer).GetName(), "watch-server")
		networking := must(c.GetClusterNetworkingConfig(ctx))
		networking.SetClientIdleTimeout(time.Minute)
		must(c.UpsertClusterNetworkingConfig(ctx, networking))
		equal(t, "networking", next(watcher).Resource.(types.ClusterNetworkingConfig).GetClientIdleTimeout(), time.Minute)
		done(c.ResetClusterNetworkingConfig(ctx))
		done(c.DeleteApp(ctx, "watch-app"))
		done(c.DeleteAllApplicationServers(ctx, "default"))
	})
	step(t, "narrowed to one name", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole, Name: "watch-named"})
		must(c.UpsertRole(ctx, newRole("watch-other")))
		must(c.UpsertRole(ctx, newRole("watch-named")))
		equal(t, "name", next(watcher).Resource.GetName(), "watch-named")
	})
	step(t, "a hundred quick changes, all of them, in order", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		failed := make(chan error, 1)
		go func() {
			for i := range 100 {
				role, err := types.NewRole("watch-quick", types.RoleSpecV6{Allow: types.RoleConditions{Logins: []string{fmt.Sprint("n", i)}}})
				if err == nil {
					_, err = c.UpsertRole(ctx, role)
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
		for i := range 100 {
			equal(t, "change", next(watcher).Resource.(types.Role).GetLogins(types.Allow), []string{fmt.Sprint("n", i)})
			if t.Failed() {
				break
			}
		}
		done(<-failed)
	})
	step(t, "two watchers see the same", func(t *testing.T, ctx context.Context) {
		one, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		two, _ := watching(t, ctx, admin(t), false, types.WatchKind{Kind: types.KindRole})
		must(c.UpsertRole(ctx, newRole("watch-both")))
		equal(t, "revision", next(one).Resource.GetRevision(), next(two).Resource.GetRevision())
	})
	step(t, "a refused kind ends the watch", func(t *testing.T, ctx context.Context) {
		reader := as(t, "lockee")
		watcher := must(reader.NewWatcher(ctx, types.Watch{Kinds: []types.WatchKind{{Kind: types.KindRole}, {Kind: types.KindToken}}}))
		ended(t, "token", trace.IsAccessDenied, watcher)
		watcher = must(c.NewWatcher(ctx, types.Watch{Kinds: []types.WatchKind{{Kind: "gnome"}}}))
		ended(t, "an unknown kind", func(err error) bool { return trace.IsBadParameter(err) || trace.IsNotImplemented(err) }, watcher)
		watcher = must(c.NewWatcher(ctx, types.Watch{}))
		ended(t, "no kind", trace.IsBadParameter, watcher)
	})
	step(t, "with AllowPartialSuccess the rest goes on", func(t *testing.T, ctx context.Context) {
		watcher, first := watching(t, ctx, as(t, "lockee"), true, types.WatchKind{Kind: types.KindRole}, types.WatchKind{Kind: types.KindToken})
		status := first.Resource.(types.WatchStatus).GetKinds()
		equal(t, "how many kinds", len(status), 1)
		equal(t, "kind", status[0].Kind, types.KindRole)
		must(c.UpsertRole(ctx, newRole("watch-partial")))
		equal(t, "name", next(watcher).Resource.GetName(), "watch-partial")
	})
	step(t, "a lock ends the watch of whom it locks", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, as(t, "lockee"), false, types.WatchKind{Kind: types.KindRole})
		id := uuid.NewString()
		done(c.UpsertLock(ctx, must(types.NewLock(id, types.LockSpecV2{Target: types.LockTarget{User: "lockee"}}))))
		ended(t, "the watch", func(err error) bool { return err != nil }, watcher)
		done(c.DeleteLock(ctx, id))
		eventually(t, "the user works again", func() error { _, err := as(t, "lockee").GetRole(ctx, "go-reader"); return err })
	})
}
