package goclient

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// TestTakenAway is about certificates that hold still, of somebody who has lost what they stand for.
func TestTakenAway(t *testing.T) {
	defer guard(t)
	c := admin(t)
	// live makes a user with a role of its own, and a connection of that user.
	live := func(t *testing.T, ctx context.Context, name string) *client.Client {
		must(c.UpsertRole(ctx, must(types.NewRole(name, types.RoleSpecV6{Allow: types.RoleConditions{
			Logins: []string{"x"}, Rules: []types.Rule{{Resources: []string{types.KindRole}, Verbs: []string{types.VerbList, types.VerbRead}}},
		}}))))
		user := newUser(name)
		user.SetRoles([]string{name})
		must(c.UpsertUser(ctx, user))
		var credentials client.Credentials
		eventually(t, "a certificate for the new user", func() error {
			key, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: name, Expires: time.Now().Add(10 * time.Minute)})
			if err == nil {
				credentials = pair(key, certs)
			}
			return err
		})
		connection := connect(t, credentials)
		must(connection.GetRole(ctx, "go-reader"))
		return connection
	}
	refusedSoon := func(t *testing.T, ctx context.Context, connection *client.Client) {
		t.Helper()
		eventually(t, "the live connection is refused", func() error {
			if _, err := connection.GetRole(ctx, "go-reader"); !trace.IsAccessDenied(err) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
	}
	step(t, "a rule of the role", func(t *testing.T, ctx context.Context) {
		connection := live(t, ctx, "taken-rule")
		must(c.UpsertRole(ctx, must(types.NewRole("taken-rule", types.RoleSpecV6{}))))
		refusedSoon(t, ctx, connection)
	})
	step(t, "the user", func(t *testing.T, ctx context.Context) {
		connection := live(t, ctx, "taken-user")
		done(c.DeleteUser(ctx, "taken-user"))
		refusedSoon(t, ctx, connection)
	})
	step(t, "the role", func(t *testing.T, ctx context.Context) {
		connection := live(t, ctx, "taken-role")
		user := must(c.GetUser(ctx, "taken-role", false))
		user.SetRoles([]string{"go-nothing"})
		must(c.UpsertUser(ctx, user))
		done(c.DeleteRole(ctx, "taken-role"))
		refusedSoon(t, ctx, connection)
	})
}

func TestLocks(t *testing.T) {
	defer guard(t)
	c := admin(t)
	id := uuid.NewString()
	step(t, "in force on a live connection, and gone again", func(t *testing.T, ctx context.Context) {
		lockee := as(t, "lockee")
		must(lockee.GetRole(ctx, "go-reader"))
		lock := must(types.NewLock(id, types.LockSpecV2{Target: types.LockTarget{User: "lockee"}, Message: "on holiday"}))
		done(c.UpsertLock(ctx, lock))
		got := must(c.GetLock(ctx, id))
		equal(t, "target", got.Target(), types.LockTarget{User: "lockee"})
		equal(t, "message", got.Message(), "on holiday")
		equal(t, "made by", got.CreatedBy(), "admin")
		holds(t, "it has a time", time.Since(got.CreatedAt()) < time.Minute)
		eventually(t, "the connection is refused", func() error {
			_, err := lockee.GetRole(ctx, "go-reader")
			if !trace.IsAccessDenied(err) || !strings.Contains(err.Error(), "in force") || !strings.Contains(err.Error(), "on holiday") {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
		_, err := as(t, "lockee").GetRole(ctx, "go-reader")
		refused(t, "a new connection", trace.IsAccessDenied, err)
		done(c.DeleteLock(ctx, id))
		eventually(t, "it works again", func() error { _, err := lockee.GetRole(ctx, "go-reader"); return err })
	})
	step(t, "by role", func(t *testing.T, ctx context.Context) {
		lockee := as(t, "lockee")
		must(lockee.GetRole(ctx, "go-reader"))
		done(c.UpsertLock(ctx, must(types.NewLock(id, types.LockSpecV2{Target: types.LockTarget{Role: "go-reader"}}))))
		eventually(t, "refused", func() error {
			if _, err := lockee.GetRole(ctx, "go-reader"); !trace.IsAccessDenied(err) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		})
		done(c.DeleteLock(ctx, id))
		eventually(t, "it works again", func() error { _, err := lockee.GetRole(ctx, "go-reader"); return err })
	})
	step(t, "an ended lock holds nobody", func(t *testing.T, ctx context.Context) {
		past := time.Now().Add(-time.Minute)
		done(c.UpsertLock(ctx, must(types.NewLock(id, types.LockSpecV2{Target: types.LockTarget{User: "lockee"}, Expires: &past}))))
		time.Sleep(200 * time.Millisecond)
		must(as(t, "lockee").GetRole(ctx, "go-reader"))
	})
	step(t, "list, by target and by force", func(t *testing.T, ctx context.Context) {
		future := time.Now().Add(time.Hour)
		device := must(types.NewLock(uuid.NewString(), types.LockSpecV2{Target: types.LockTarget{MFADevice: "d"}, Expires: &future}))
		login := must(types.NewLock(uuid.NewString(), types.LockSpecV2{Target: types.LockTarget{Login: "nobody-at-all"}}))
		for _, lock := range []types.Lock{device, login} {
			done(c.UpsertLock(ctx, lock))
		}
		by := func(force bool, targets ...types.LockTarget) string {
			return names(must(c.GetLocks(ctx, force, targets...)))
		}
		equal(t, "by device", by(true, types.LockTarget{MFADevice: "d"}), device.GetName())
		equal(t, "by either", sorted(by(true, types.LockTarget{MFADevice: "d"}, types.LockTarget{Login: "nobody-at-all"})), sorted(device.GetName()+" "+login.GetName()))
		holds(t, "an ended one is not in force", !strings.Contains(by(true), id))
		holds(t, "it may be listed still", strings.Contains(by(false), device.GetName()))
		got := must(c.GetLock(ctx, device.GetName()))
		holds(t, "it ends when asked", got.LockExpiry() != nil && got.LockExpiry().Sub(future).Abs() < time.Second)
	})
	step(t, "bad locks and unknown ones", func(t *testing.T, ctx context.Context) {
		empty := &types.LockV2{Metadata: types.Metadata{Name: uuid.NewString()}}
		refused(t, "no target", trace.IsBadParameter, c.UpsertLock(ctx, empty))
		_, err := c.GetLock(ctx, uuid.NewString())
		refused(t, "get", trace.IsNotFound, err)
		refused(t, "delete", trace.IsNotFound, c.DeleteLock(ctx, uuid.NewString()))
	})
}
