package goclient

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// newRole is a role with something in most corners.
func newRole(name string) types.Role {
	role := must(types.NewRole(name, types.RoleSpecV6{
		Options: types.RoleOptions{MaxSessionTTL: types.Duration(8 * time.Hour), ForwardAgent: true, PinSourceIP: false},
		Allow: types.RoleConditions{
			Logins:     []string{"alice", "{{internal.logins}}"},
			NodeLabels: types.Labels{"env": {"dev"}, "team": {"a", "b"}},
			AppLabels:  types.Labels{types.Wildcard: {types.Wildcard}},
			Rules: []types.Rule{
				{Resources: []string{types.KindRole}, Verbs: []string{types.VerbList, types.VerbRead}},
				{Resources: []string{types.KindSession}, Verbs: []string{types.VerbRead}, Where: "contains(session.participants, user.metadata.name)"},
			},
			Impersonate: &types.ImpersonateConditions{Roles: []string{"go-reader"}},
		},
		Deny: types.RoleConditions{Logins: []string{"root"}},
	}))
	return role
}

func TestRoles(t *testing.T) {
	defer guard(t)
	c := admin(t)
	var revision string
	step(t, "create and get", func(t *testing.T, ctx context.Context) {
		wanted := newRole("roles-a")
		created := must(c.CreateRole(ctx, wanted))
		got := must(c.GetRole(ctx, "roles-a"))
		revision = got.GetRevision()
		holds(t, "there is a revision", revision != "")
		equal(t, "revision of the answer", created.GetRevision(), revision)
		equal(t, "version", got.GetVersion(), types.V7)
		equal(t, "logins", got.GetLogins(types.Allow), wanted.GetLogins(types.Allow))
		equal(t, "denied logins", got.GetLogins(types.Deny), []string{"root"})
		equal(t, "labels", strings.Join(got.GetNodeLabels(types.Allow)["team"], ","), "a,b")
		equal(t, "rules", got.GetRules(types.Allow), wanted.GetRules(types.Allow))
		equal(t, "impersonation", got.GetImpersonateConditions(types.Allow), wanted.GetImpersonateConditions(types.Allow))
		equal(t, "longest session", got.GetOptions().MaxSessionTTL, types.Duration(8*time.Hour))
		equal(t, "copying files", got.GetOptions().SSHFileCopy.Value, true)
	})
	step(t, "create twice is AlreadyExists", func(t *testing.T, ctx context.Context) {
		_, err := c.CreateRole(ctx, newRole("roles-a"))
		refused(t, "create", trace.IsAlreadyExists, err)
	})
	step(t, "update needs the revision: CompareFailed", func(t *testing.T, ctx context.Context) {
		role := must(c.GetRole(ctx, "roles-a"))
		role.SetLogins(types.Allow, []string{"carol"})
		updated := must(c.UpdateRole(ctx, role))
		holds(t, "the revision changed", updated.GetRevision() != revision)
		equal(t, "logins", must(c.GetRole(ctx, "roles-a")).GetLogins(types.Allow), []string{"carol"})
		role.SetRevision(revision)
		_, err := c.UpdateRole(ctx, role)
		refused(t, "update with the old revision", trace.IsCompareFailed, err)
	})
	step(t, "update of an unknown role", func(t *testing.T, ctx context.Context) {
		_, err := c.UpdateRole(ctx, newRole("roles-unknown"))
		refused(t, "update", func(err error) bool { return trace.IsNotFound(err) || trace.IsCompareFailed(err) }, err)
	})
	step(t, "upsert makes and replaces, whatever the revision", func(t *testing.T, ctx context.Context) {
		must(c.UpsertRole(ctx, newRole("roles-b")))
		role := newRole("roles-b")
		role.SetRevision("00000000-0000-4000-8000-000000000000")
		role.SetLogins(types.Allow, []string{"dave"})
		upserted := must(c.UpsertRole(ctx, role))
		equal(t, "logins", upserted.GetLogins(types.Allow), []string{"dave"})
	})
	step(t, "expiry", func(t *testing.T, ctx context.Context) {
		role := newRole("roles-short")
		role.SetExpiry(time.Now().Add(2 * time.Second))
		must(c.CreateRole(ctx, role))
		must(c.GetRole(ctx, "roles-short"))
		eventually(t, "it is gone", func() error {
			if _, err := c.GetRole(ctx, "roles-short"); !trace.IsNotFound(err) {
				return fmt.Errorf("found: %v", err)
			}
			return nil
		})
	})
	step(t, "list in pages", func(t *testing.T, ctx context.Context) {
		for i := range 25 {
			must(c.UpsertRole(ctx, newRole(fmt.Sprintf("roles-page-%02d", i))))
		}
		seen, pages, key := map[string]int{}, 0, ""
		for {
			page := must(c.ListRoles(ctx, &proto.ListRolesRequest{Limit: 7, StartKey: key}))
			holds(t, "a page is full, or the last", len(page.Roles) == 7 || page.NextKey == "")
			for _, role := range page.Roles {
				seen[role.GetName()]++
			}
			pages++
			if key = page.NextKey; key == "" {
				break
			}
		}
		for i := range 25 {
			equal(t, "how often", seen[fmt.Sprintf("roles-page-%02d", i)], 1)
		}
		holds(t, "there were pages", pages >= 4)
		equal(t, "GetRoles sees as many", len(must(c.GetRoles(ctx))), len(seen))
	})
	step(t, "list filtered", func(t *testing.T, ctx context.Context) {
		page := must(c.ListRoles(ctx, &proto.ListRolesRequest{Limit: 100, Filter: &types.RoleFilter{SearchKeywords: []string{"roles-page-1"}}}))
		equal(t, "found", len(page.Roles), 10)
		page = must(c.ListRoles(ctx, &proto.ListRolesRequest{Limit: 4, Filter: &types.RoleFilter{SearchKeywords: []string{"roles-page-1"}}}))
		equal(t, "a page of found ones", len(page.Roles), 4)
	})
	step(t, "every version that the client knows", func(t *testing.T, ctx context.Context) {
		for _, version := range []string{types.V3, types.V4, types.V5, types.V6, types.V7} {
			role := must(types.NewRoleWithVersion("roles-"+version, version, types.RoleSpecV6{Allow: types.RoleConditions{Logins: []string{"x"}}}))
			must(c.CreateRole(ctx, role))
			equal(t, "version", must(c.GetRole(ctx, "roles-"+version)).GetVersion(), version)
		}
	})
	step(t, "delete, then NotFound", func(t *testing.T, ctx context.Context) {
		done(c.DeleteRole(ctx, "roles-a"))
		_, err := c.GetRole(ctx, "roles-a")
		refused(t, "get", trace.IsNotFound, err)
		refused(t, "delete again", trace.IsNotFound, c.DeleteRole(ctx, "roles-a"))
	})
	step(t, "a role that somebody has cannot be deleted", func(t *testing.T, ctx context.Context) {
		err := c.DeleteRole(ctx, "go-nothing")
		holds(t, fmt.Sprintf("refused: %v", err), err != nil)
	})
	step(t, "bad documents are BadParameter", func(t *testing.T, ctx context.Context) {
		for what, spoil := range map[string]func(*types.RoleV6){
			"no name":         func(r *types.RoleV6) { r.Metadata.Name = "" },
			"a slash":         func(r *types.RoleV6) { r.Metadata.Name = "a/b" },
			"unknown version": func(r *types.RoleV6) { r.Version = "v99" },
			"a broken where": func(r *types.RoleV6) {
				r.Spec.Allow.Rules = []types.Rule{{Resources: []string{"role"}, Verbs: []string{"list"}, Where: "((("}}
			},
			"a broken regex":   func(r *types.RoleV6) { r.Spec.Allow.NodeLabels = types.Labels{"a": {"^($"}} },
			"a foreign nature": func(r *types.RoleV6) { r.Metadata.Namespace = "elsewhere" },
		} {
			role := newRole("roles-bad").(*types.RoleV6)
			spoil(role)
			_, err := c.CreateRole(ctx, role)
			refused(t, what, trace.IsBadParameter, err)
		}
	})
	step(t, "current roles", func(t *testing.T, ctx context.Context) {
		equal(t, "names", sorted(names(must(c.GetCurrentUserRoles(ctx)))), "auditor editor go-admin")
	})
}
