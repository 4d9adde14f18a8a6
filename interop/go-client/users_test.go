package goclient

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"

	userspb "github.com/gravitational/teleport/api/gen/proto/go/teleport/users/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// sorted puts words into order.
func sorted(text string) string {
	words := strings.Fields(text)
	sort.Strings(words)
	return strings.Join(words, " ")
}

func newUser(name string) types.User {
	user := must(types.NewUser(name))
	user.SetRoles([]string{"go-reader"})
	user.SetTraits(map[string][]string{"logins": {"alice"}, "team": {"a", "b"}})
	return user
}

func TestUsers(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "create and get", func(t *testing.T, ctx context.Context) {
		created := must(c.CreateUser(ctx, newUser("users-a")))
		got := must(c.GetUser(ctx, "users-a", false))
		holds(t, "there is a revision", got.GetRevision() != "")
		equal(t, "revision of the answer", created.GetRevision(), got.GetRevision())
		equal(t, "roles", got.GetRoles(), []string{"go-reader"})
		equal(t, "logins", got.GetLogins(), []string{"alice"})
		equal(t, "traits", got.GetTraits()["team"], []string{"a", "b"})
		equal(t, "made by", got.GetCreatedBy().User.Name, "admin")
		equal(t, "kind", got.GetUserType(), types.UserTypeLocal)
		_, err := c.CreateUser(ctx, newUser("users-a"))
		refused(t, "again", trace.IsAlreadyExists, err)
	})
	step(t, "update needs the revision: CompareFailed", func(t *testing.T, ctx context.Context) {
		user := must(c.GetUser(ctx, "users-a", false))
		old := user.GetRevision()
		user.SetRoles([]string{"go-reader", "go-nothing"})
		updated := must(c.UpdateUser(ctx, user))
		holds(t, "the revision changed", updated.GetRevision() != old)
		equal(t, "roles", updated.GetRoles(), []string{"go-reader", "go-nothing"})
		user.SetRevision(old)
		_, err := c.UpdateUser(ctx, user)
		refused(t, "stale", trace.IsCompareFailed, err)
	})
	step(t, "upsert", func(t *testing.T, ctx context.Context) {
		must(c.UpsertUser(ctx, newUser("users-b")))
		user := newUser("users-b")
		user.SetLogins([]string{"dave"})
		equal(t, "logins", must(c.UpsertUser(ctx, user)).GetLogins(), []string{"dave"})
	})
	step(t, "an unknown role is refused", func(t *testing.T, ctx context.Context) {
		user := newUser("users-c")
		user.SetRoles([]string{"no-such-role"})
		_, err := c.CreateUser(ctx, user)
		refused(t, "create", func(err error) bool { return trace.IsNotFound(err) || trace.IsBadParameter(err) }, err)
	})
	step(t, "list in pages", func(t *testing.T, ctx context.Context) {
		for i := range 11 {
			must(c.UpsertUser(ctx, newUser(fmt.Sprintf("users-page-%02d", i))))
		}
		seen, token := map[string]int{}, ""
		for {
			page := must(c.ListUsers(ctx, &userspb.ListUsersRequest{PageSize: 4, PageToken: token}))
			holds(t, "a page is full, or the last", len(page.Users) == 4 || page.NextPageToken == "")
			for _, user := range page.Users {
				seen[user.GetName()]++
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
		for i := range 11 {
			equal(t, "how often", seen[fmt.Sprintf("users-page-%02d", i)], 1)
		}
		equal(t, "GetUsers sees as many", len(must(c.GetUsers(ctx, false))), len(seen))
	})
	step(t, "nobody reads secrets by being that user", func(t *testing.T, ctx context.Context) {
		nothing := as(t, "nothing")
		holds(t, "without them", must(nothing.GetUser(ctx, "nothing", false)).GetLocalAuth() == nil)
		_, err := nothing.GetUser(ctx, "nothing", true)
		refused(t, "with them", trace.IsAccessDenied, err)
	})
	step(t, "delete, then NotFound", func(t *testing.T, ctx context.Context) {
		done(c.DeleteUser(ctx, "users-a"))
		_, err := c.GetUser(ctx, "users-a", false)
		refused(t, "get", trace.IsNotFound, err)
		refused(t, "delete again", trace.IsNotFound, c.DeleteUser(ctx, "users-a"))
	})
}
