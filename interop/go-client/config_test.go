package goclient

import (
	"context"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/constants"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

func TestClusterConfiguration(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "auth preference", func(t *testing.T, ctx context.Context) {
		got := must(c.GetAuthPreference(ctx))
		equal(t, "type", got.GetType(), constants.Local)
		equal(t, "locking mode", got.GetLockingMode(), constants.LockingModeBestEffort)
		holds(t, "there is a revision", got.GetRevision() != "")
		old := got.GetRevision()
		got.SetDefaultSessionTTL(types.Duration(7 * time.Hour))
		updated := must(c.UpdateAuthPreference(ctx, got))
		equal(t, "session", updated.GetDefaultSessionTTL(), types.Duration(7*time.Hour))
		holds(t, "the revision changed", updated.GetRevision() != old)
		got.SetRevision(old)
		_, err := c.UpdateAuthPreference(ctx, got)
		refused(t, "stale", trace.IsCompareFailed, err)
		got.SetDefaultSessionTTL(types.Duration(6 * time.Hour))
		equal(t, "upserted", must(c.UpsertAuthPreference(ctx, got)).GetDefaultSessionTTL(), types.Duration(6*time.Hour))
		done(c.ResetAuthPreference(ctx))
		equal(t, "reset", must(c.GetAuthPreference(ctx)).GetDefaultSessionTTL(), types.Duration(12*time.Hour))
	})
	step(t, "networking", func(t *testing.T, ctx context.Context) {
		got := must(c.GetClusterNetworkingConfig(ctx))
		equal(t, "keep-alive", got.GetKeepAliveInterval(), 5*time.Minute)
		equal(t, "missed", got.GetKeepAliveCountMax(), int64(3))
		old := got.GetRevision()
		got.SetClientIdleTimeout(17 * time.Minute)
		updated := must(c.UpdateClusterNetworkingConfig(ctx, got))
		equal(t, "idle", updated.GetClientIdleTimeout(), 17*time.Minute)
		got.SetRevision(old)
		_, err := c.UpdateClusterNetworkingConfig(ctx, got)
		refused(t, "stale", trace.IsCompareFailed, err)
		got.SetClientIdleTimeoutMessage("away?")
		equal(t, "upserted", must(c.UpsertClusterNetworkingConfig(ctx, got)).GetClientIdleTimeoutMessage(), "away?")
		done(c.ResetClusterNetworkingConfig(ctx))
		equal(t, "reset", must(c.GetClusterNetworkingConfig(ctx)).GetClientIdleTimeout(), time.Duration(0))
	})
	step(t, "session recording", func(t *testing.T, ctx context.Context) {
		got := must(c.GetSessionRecordingConfig(ctx))
		equal(t, "mode", got.GetMode(), types.RecordAtNode)
		old := got.GetRevision()
		got.SetMode(types.RecordAtProxy)
		equal(t, "updated", must(c.UpdateSessionRecordingConfig(ctx, got)).GetMode(), types.RecordAtProxy)
		got.SetRevision(old)
		_, err := c.UpdateSessionRecordingConfig(ctx, got)
		refused(t, "stale", trace.IsCompareFailed, err)
		got.SetMode(types.RecordOff)
		equal(t, "upserted", must(c.UpsertSessionRecordingConfig(ctx, got)).GetMode(), types.RecordOff)
		done(c.ResetSessionRecordingConfig(ctx))
		equal(t, "reset", must(c.GetSessionRecordingConfig(ctx)).GetMode(), types.RecordAtNode)
	})
	step(t, "audit configuration", func(t *testing.T, ctx context.Context) {
		must(c.GetClusterAuditConfig(ctx))
	})
	step(t, "bad values are BadParameter", func(t *testing.T, ctx context.Context) {
		recording := must(c.GetSessionRecordingConfig(ctx))
		recording.SetMode("sometimes")
		_, err := c.UpsertSessionRecordingConfig(ctx, recording)
		refused(t, "recording mode", trace.IsBadParameter, err)
		preference := must(c.GetAuthPreference(ctx))
		preference.SetLockingMode("perhaps")
		_, err = c.UpsertAuthPreference(ctx, preference)
		refused(t, "locking mode", trace.IsBadParameter, err)
	})
	step(t, "a caller without rights", func(t *testing.T, ctx context.Context) {
		nothing := as(t, "nothing")
		_, err := nothing.UpsertAuthPreference(ctx, types.DefaultAuthPreference())
		refused(t, "auth preference", trace.IsAccessDenied, err)
		refused(t, "reset of networking", trace.IsAccessDenied, nothing.ResetClusterNetworkingConfig(ctx))
	})
}
