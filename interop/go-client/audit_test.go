package goclient

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/types/events"
)

// search finds role.created of the last hour, `limit` a page, all pages.
func search(ctx context.Context, c *client.Client, order types.EventOrder, limit int) ([]events.AuditEvent, error) {
	var all []events.AuditEvent
	key := ""
	for {
		page, last, err := c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), "default", []string{"role.created"}, limit, order, key)
		if err != nil {
			return nil, err
		}
		if len(page) > limit {
			return nil, fmt.Errorf("a page of %d, %d were asked for", len(page), limit)
		}
		all = append(all, page...)
		if key = last; key == "" {
			return all, nil
		}
	}
}

func TestAudit(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "a change is found at once", func(t *testing.T, ctx context.Context) {
		must(c.CreateRole(ctx, newRole("audit-a")))
		found := must(search(ctx, c, types.EventOrderDescending, 100))
		holds(t, "there is an event", len(found) > 0)
		created, ok := found[0].(*events.RoleCreate)
		holds(t, fmt.Sprintf("it is a RoleCreate: %T", found[0]), ok)
		equal(t, "name", created.Name, "audit-a")
		equal(t, "user", created.User, "admin")
		equal(t, "code", created.Code, "T9000I")
		equal(t, "type", created.Type, "role.created")
		equal(t, "cluster", created.ClusterName, cluster)
		holds(t, "an identifier", created.ID != "")
		holds(t, "its time is now", time.Since(created.Time).Abs() < time.Minute)
		holds(t, "the address", created.RemoteAddr != "")
	})
	step(t, "both orders, in pages", func(t *testing.T, ctx context.Context) {
		for i := range 7 {
			must(c.CreateRole(ctx, newRole(fmt.Sprintf("audit-page-%d", i))))
		}
		forward := must(search(ctx, c, types.EventOrderAscending, 3))
		backward := must(search(ctx, c, types.EventOrderDescending, 3))
		equal(t, "how many", len(backward), len(forward))
		holds(t, "several pages", len(forward) >= 8)
		for i, event := range forward {
			equal(t, "the same, from the other end", backward[len(backward)-1-i].GetID(), event.GetID())
			if i > 0 {
				// What happened at the same time stands in the order in which it was recorded.
				holds(t, "oldest first", !event.GetTime().Add(5*time.Second).Before(forward[i-1].GetTime()))
			}
		}
		equal(t, "in one page", len(must(search(ctx, c, types.EventOrderAscending, 1000))), len(forward))
	})
	step(t, "range and types", func(t *testing.T, ctx context.Context) {
		none, _, err := c.SearchEvents(ctx, time.Now().Add(-48*time.Hour), time.Now().Add(-47*time.Hour), "default", nil, 10, types.EventOrderAscending, "")
		done(err)
		equal(t, "before there was a cluster", len(none), 0)
		joins, _, err := c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), "default", []string{"bot.join", "cert.create"}, 100, types.EventOrderAscending, "")
		done(err)
		kinds := map[string]int{}
		for _, event := range joins {
			kinds[event.GetType()]++
		}
		holds(t, fmt.Sprintf("the bot's join is there, and certificates: %v", kinds), kinds["bot.join"] > 0 && kinds["cert.create"] > 0 && len(kinds) == 2)
	})
	step(t, "everything can be decoded", func(t *testing.T, ctx context.Context) {
		key, total := "", 0
		for {
			page, last, err := c.SearchEvents(ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), "default", nil, 50, types.EventOrderAscending, key)
			done(err)
			total += len(page)
			if key = last; key == "" {
				break
			}
		}
		holds(t, fmt.Sprintf("many: %d", total), total > 20)
	})
	step(t, "unstructured", func(t *testing.T, ctx context.Context) {
		page, _, err := c.SearchUnstructuredEvents(ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), "default", []string{"role.created"}, 2, types.EventOrderDescending, "")
		done(err)
		equal(t, "how many", len(page), 2)
		event := page[0]
		fields := event.GetUnstructured().AsMap()
		equal(t, "type", event.GetType(), "role.created")
		equal(t, "event", fields["event"], "role.created")
		equal(t, "code", fields["code"], "T9000I")
		equal(t, "user", fields["user"], "admin")
		equal(t, "uid", fields["uid"], event.GetId())
		equal(t, "cluster", fields["cluster_name"], cluster)
	})
}
