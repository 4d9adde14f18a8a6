package goclient

import (
	"context"
	"io"
	"testing"

	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// TestNotBuiltYet calls what clients of this version may call and this server does not do yet: each says so by its code, so
// that a tool can go on without, and none trips the breaker of the connection.
func TestNotBuiltYet(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "servers of agents that do not exist yet", func(t *testing.T, ctx context.Context) {
		_, err := c.GetNodes(ctx, "default")
		refused(t, "GetNodes", trace.IsNotImplemented, err)
		_, err = c.GetDatabaseServers(ctx, "default")
		refused(t, "GetDatabaseServers", trace.IsNotImplemented, err)
		_, err = c.GetKubernetesServers(ctx)
		refused(t, "GetKubernetesServers", trace.IsNotImplemented, err)
	})
	step(t, "other ways to join", func(t *testing.T, ctx context.Context) {
		service := proto.NewJoinServiceClient(c.GetConnection())
		iam := must(service.RegisterUsingIAMMethod(ctx))
		_, err := iam.Recv()
		refused(t, "IAM", trace.IsNotImplemented, err)
		azure := must(service.RegisterUsingAzureMethod(ctx))
		_, err = azure.Recv()
		refused(t, "Azure", trace.IsNotImplemented, err)
		tpm := must(service.RegisterUsingTPMMethod(ctx))
		_, err = tpm.Recv()
		refused(t, "TPM", trace.IsNotImplemented, err)
	})
	step(t, "rotation of what others own", func(t *testing.T, ctx context.Context) {
		authority := must(c.GetCertAuthority(ctx, types.CertAuthID{Type: types.HostCA, DomainName: cluster}, false))
		refused(t, "RotateExternalCertAuthority", func(err error) bool { return trace.IsNotImplemented(err) || trace.IsAccessDenied(err) }, c.RotateExternalCertAuthority(ctx, authority))
	})
	step(t, "recordings of sessions", func(t *testing.T, ctx context.Context) {
		events, errs := c.StreamUnstructuredSessionEvents(ctx, "6f1d2a6c-3a53-4c3e-9bb4-f3d8d10f2f6a", 0)
		select {
		case event, more := <-events:
			holds(t, "no event of a session that never was", event == nil && !more)
		case err := <-errs:
			refused(t, "StreamUnstructuredSessionEvents", func(err error) bool { return err != io.EOF && (trace.IsNotImplemented(err) || trace.IsNotFound(err)) }, err)
		}
	})
	step(t, "the connection is as good as before", func(t *testing.T, ctx context.Context) {
		for range 10 {
			must(c.Ping(ctx))
		}
	})
}
