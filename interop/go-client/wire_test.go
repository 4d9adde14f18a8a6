package goclient

import (
	"context"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"crypto/x509"

	"github.com/google/uuid"
	"github.com/gravitational/teleport/api/client/proto"
	workloadidentityv1 "github.com/gravitational/teleport/api/gen/proto/go/teleport/workloadidentity/v1"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/teleport/api/utils/sshutils"
	"github.com/gravitational/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestMetadata looks at what travels beside the messages.
func TestMetadata(t *testing.T) {
	defer guard(t)
	c := admin(t)
	service := proto.NewAuthServiceClient(c.GetConnection())
	version := func(t *testing.T, what string, header metadata.MD) {
		t.Helper()
		equal(t, what+": how many versions", len(header.Get("version")), 1)
		holds(t, fmt.Sprintf("%s: a version 18: %v", what, header), regexp.MustCompile(`^18\.\d+\.\d+$`).MatchString(strings.Join(header.Get("version"), " ")))
	}
	step(t, "an answer names the server's version", func(t *testing.T, ctx context.Context) {
		var header metadata.MD
		must(service.Ping(ctx, &proto.PingRequest{}, grpc.Header(&header)))
		version(t, "Ping", header)
	})
	step(t, "a stream names it with its first message", func(t *testing.T, ctx context.Context) {
		stream := must(service.WatchEvents(ctx, &proto.Watch{Kinds: []types.WatchKind{{Kind: types.KindRole}}}))
		must(stream.Recv())
		version(t, "WatchEvents", must(stream.Header()))
	})
	step(t, "a refusal names it too", func(t *testing.T, ctx context.Context) {
		var header, trailer metadata.MD
		_, err := service.GetRole(ctx, &proto.GetRoleRequest{Name: "no-such-role"}, grpc.Header(&header), grpc.Trailer(&trailer))
		refused(t, "GetRole", trace.IsNotFound, trace.Wrap(err))
		version(t, "GetRole", metadata.Join(header, trailer))
	})
	step(t, "what nobody asked for is not looked at", func(t *testing.T, ctx context.Context) {
		for key, value := range map[string]string{
			"mfa_challenge_response":   "this is no base64!",
			"session-recording-format": "v99",
			"traceparent":              "00-not-a-trace",
			"tracestate":               "a=b",
			"x-unknown":                strings.Repeat("x", 4000),
		} {
			_, err := service.Ping(metadata.AppendToOutgoingContext(ctx, key, value), &proto.PingRequest{})
			holds(t, fmt.Sprintf("%s: %v", key, err), err == nil)
		}
	})
	step(t, "a long list comes in pages that the client takes", func(t *testing.T, ctx context.Context) {
		// Eight megabytes in all; the client takes four at a time.
		large := make([]string, 1000)
		for i := range large {
			large[i] = fmt.Sprintf("%0200d", i)
		}
		for i := range 40 {
			role := must(types.NewRole(fmt.Sprint("wire-large-", i), types.RoleSpecV6{Allow: types.RoleConditions{Logins: large}}))
			must(c.CreateRole(ctx, role))
		}
		found := 0
		for _, role := range must(c.GetRoles(ctx)) {
			if strings.HasPrefix(role.GetName(), "wire-large-") {
				found++
				done(c.DeleteRole(ctx, role.GetName()))
			}
		}
		equal(t, "how many", found, 40)
	})
}

// attribute is one of a subject.
type attribute struct {
	oid, value string
	tag        int
}

// subject is what the client's own parser flattens: the sets of attributes, in their order.
func subject(certificate *x509.Certificate) [][]attribute {
	var sets []asn1.RawValue
	must(asn1.Unmarshal(certificate.RawSubject, &sets))
	result := make([][]attribute, len(sets))
	for i, set := range sets {
		for rest := set.Bytes; len(rest) > 0; {
			var pair struct {
				OID   asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			rest = must(asn1.Unmarshal(rest, &pair))
			result[i] = append(result[i], attribute{pair.OID.String(), string(pair.Value.Bytes), pair.Value.Tag})
		}
	}
	return result
}

// claims are the values of our own attributes by the end of their identifier, `1.7` for 1.3.9999.1.7.
func claims(certificate *x509.Certificate) map[string][]string {
	result := map[string][]string{}
	for _, set := range subject(certificate) {
		for _, one := range set {
			if ours, found := strings.CutPrefix(one.oid, "1.3.9999."); found {
				result[ours] = append(result[ours], one.value)
			}
		}
	}
	return result
}

func certificateIn(path string) *x509.Certificate {
	block, _ := pem.Decode(must(os.ReadFile(path)))
	return must(x509.ParseCertificate(block.Bytes))
}

// TestSubject compares what is in the certificates with what other programs read there.
func TestSubject(t *testing.T) {
	defer guard(t)
	c := admin(t)
	ctx := context.Background()
	user := must(types.NewUser("wire-ünï"))
	user.SetRoles([]string{"go-reader", "go-nothing"})
	user.SetTraits(map[string][]string{"team": {"b", "a"}, "logins": {"root"}})
	must(c.UpsertUser(ctx, user))
	_, certs, err := issue(ctx, c, proto.UserCertsRequest{Username: user.GetName(), Expires: time.Now().Add(time.Hour)})
	done(err)
	certificate := leaf(certs)
	step(t, "one set for each kind of attribute, in the order of all", func(t *testing.T, _ context.Context) {
		sets := subject(certificate)
		var order []string
		values := map[string]string{}
		for _, set := range sets {
			var list []string
			for _, one := range set {
				list = append(list, one.value)
				fits := regexp.MustCompile(`^[A-Za-z0-9 '()+,\-./:=?]*$`).MatchString(one.value)
				equal(t, fmt.Sprintf("%s %q is a PrintableString", one.oid, one.value), one.tag == asn1.TagPrintableString, fits)
				holds(t, fmt.Sprintf("%s %q is a string", one.oid, one.value), fits || one.tag == asn1.TagUTF8String)
			}
			order = append(order, set[0].oid)
			values[set[0].oid] = strings.Join(list, " ")
		}
		equal(t, "the standard ones", strings.Join(order[:5], " "), "2.5.4.10 2.5.4.7 2.5.4.9 2.5.4.17 2.5.4.3")
		for _, oid := range order[5:] {
			holds(t, oid+" is one of ours", strings.HasPrefix(oid, "1.3.9999."))
		}
		// Sorted by their encoding: shorter ones first.
		equal(t, "roles", values["2.5.4.10"], "go-reader go-nothing")
		equal(t, "principals", values["2.5.4.7"], "reader nothing")
		equal(t, "the route to the cluster", values["2.5.4.9"], cluster)
		equal(t, "the name", values["2.5.4.3"], "wire-ünï")
		var traits map[string][]string
		done(json.Unmarshal([]byte(values["2.5.4.17"]), &traits))
		equal(t, "traits", traits["team"], []string{"b", "a"})
	})
	step(t, "our own attributes", func(t *testing.T, _ context.Context) {
		claims := claims(certificate)
		for oid, want := range map[string]string{
			"1.7": cluster, "1.20": "local", "2.7": "admin",
			// Nobody logged in through a proxy; neither a bot's, nor bound to anything.
			"1.9": "", "1.13": "", "1.14": "", "2.9": "", "2.15": "", "2.18": "", "2.20": "", "2.21": "",
		} {
			equal(t, oid, strings.Join(claims[oid], " "), want)
		}
	})
	step(t, "usages, serial number and issuer", func(t *testing.T, _ context.Context) {
		equal(t, "key usages", certificate.KeyUsage, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment)
		equal(t, "further usages", sorted(fmt.Sprint(certificate.ExtKeyUsage[0], " ", certificate.ExtKeyUsage[1])), sorted(fmt.Sprint(x509.ExtKeyUsageServerAuth, " ", x509.ExtKeyUsageClientAuth)))
		bits := certificate.SerialNumber.BitLen()
		holds(t, fmt.Sprintf("a random serial number of 128 bits: %d", bits), bits > 90 && bits <= 128)
		equal(t, "issuer's O", certificate.Issuer.Organization, []string{cluster})
		equal(t, "issuer's CN", certificate.Issuer.CommonName, cluster)
	})
	step(t, "a bot's own identity, and one of its outputs", func(t *testing.T, _ context.Context) {
		own := claims(certificateIn(filepath.Join(dir, "ci-store", "tlscert")))
		equal(t, "renewable", own["1.13"], []string{"true"})
		equal(t, "generation", own["1.14"], []string{"1"})
		equal(t, "type", own["1.20"], []string{"bot"})
		equal(t, "bot", own["2.18"], []string{"ci"})
		equal(t, "how many instances", len(own["2.20"]), 1)
		must(uuid.Parse(own["2.20"][0]))
		output := claims(certificateIn(filepath.Join(dir, "ci-out", "tlscert")))
		for oid, want := range map[string]string{
			"1.13": "", "1.20": "bot", "2.7": "bot-ci", "2.9": "true", "2.18": "ci", "2.20": own["2.20"][0],
		} {
			equal(t, "the output's "+oid, strings.Join(output[oid], " "), want)
		}
		for what, claims := range map[string]map[string][]string{"own": own, "output": output} {
			equal(t, what+": how many sets of attributes of the join", len(claims["2.21"]), 1)
			var joined workloadidentityv1.JoinAttrs
			done(protojson.Unmarshal([]byte(claims["2.21"][0]), &joined))
			equal(t, what+": method", joined.GetMeta().GetJoinMethod(), "token")
		}
	})
	step(t, "the SSH certificate says the same", func(t *testing.T, _ context.Context) {
		parsed := must(sshutils.ParseCertificate(certs.SSH))
		equal(t, "key id", parsed.KeyId, "wire-ünï")
		equal(t, "principals", sorted(strings.Join(parsed.ValidPrincipals, " ")), "-teleport-internal-join nothing reader")
		for name, want := range map[string]string{
			"permit-pty": "", "permit-port-forwarding": "", "impersonator": "admin", "teleport-route-to-cluster": cluster,
		} {
			value, found := parsed.Extensions[name]
			holds(t, fmt.Sprintf("%s is there", name), found)
			equal(t, name, value, want)
		}
		var roles struct {
			Version string   `json:"version"`
			Roles   []string `json:"roles"`
		}
		done(json.Unmarshal([]byte(parsed.Extensions["teleport-roles"]), &roles))
		equal(t, "form of the roles", roles.Version, "v1")
		equal(t, "roles", sorted(strings.Join(roles.Roles, " ")), "go-nothing go-reader")
		holds(t, "traits", strings.Contains(parsed.Extensions["teleport-traits"], `"team"`))
		bot := must(sshutils.ParseCertificate(must(os.ReadFile(filepath.Join(dir, "ci-out", "key-cert.pub")))))
		equal(t, "bot", bot.Extensions["bot-name@goteleport.com"], "ci")
		must(uuid.Parse(bot.Extensions["bot-instance-id@goteleport.com"]))
		_, found := bot.Extensions["disallow-reissue"]
		holds(t, "no reissue", found)
	})
}

// TestWatchFilters narrows watches in every way that the client has.
func TestWatchFilters(t *testing.T) {
	defer guard(t)
	c := admin(t)
	step(t, "INIT is a status, and deletions are headers", func(t *testing.T, ctx context.Context) {
		watcher, first := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole})
		equal(t, "kind", first.Resource.GetKind(), "watch_status")
		equal(t, "name", first.Resource.GetName(), "watch-status")
		must(c.UpsertRole(ctx, newRole("wire-header")))
		next(watcher)
		done(c.DeleteRole(ctx, "wire-header"))
		header, is := next(watcher).Resource.(*types.ResourceHeader)
		holds(t, "a header", is)
		equal(t, "kind", header.Kind, types.KindRole)
		holds(t, "a version", header.Version != "")
	})
	step(t, "a filter of authorities holds back what is put, not what is deleted", func(t *testing.T, ctx context.Context) {
		filter := types.CertAuthorityFilter{types.UserCA: "leaf-a.example"}
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindCertAuthority, Filter: filter.IntoMap()})
		must(c.UpsertCertAuthority(ctx, leafAuthority("leaf-b.example")))
		must(c.UpsertCertAuthority(ctx, leafAuthority("leaf-a.example")))
		put := next(watcher)
		equal(t, "type", put.Type, types.OpPut)
		equal(t, "cluster", put.Resource.GetName(), "leaf-a.example")
		for _, name := range []string{"leaf-b.example", "leaf-a.example"} {
			done(c.DeleteCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: name}))
			gone := next(watcher)
			equal(t, "type", gone.Type, types.OpDelete)
			equal(t, "name", gone.Resource.GetName(), name)
		}
	})
	step(t, "authorities of one sub-kind", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false,
			types.WatchKind{Kind: types.KindCertAuthority, SubKind: string(types.HostCA)}, types.WatchKind{Kind: types.KindRole, Name: "wire-end"})
		must(c.UpsertCertAuthority(ctx, leafAuthority("leaf-c.example")))
		must(c.UpsertRole(ctx, newRole("wire-end")))
		equal(t, "the first that is told", next(watcher).Resource.GetName(), "wire-end")
		done(c.DeleteCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: "leaf-c.example"}))
	})
	step(t, "locks of some targets", func(t *testing.T, ctx context.Context) {
		lock := func(target types.LockTarget) string {
			id := uuid.NewString()
			done(c.UpsertLock(ctx, must(types.NewLock(id, types.LockSpecV2{Target: target}))))
			return id
		}
		filter := must(types.LockTarget{Login: "wire-a", User: "wire-b"}.IntoMap())
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindLock, Filter: filter})
		ids := []string{lock(types.LockTarget{Login: "wire-c"}), lock(types.LockTarget{Login: "wire-a"}), lock(types.LockTarget{User: "wire-b"})}
		equal(t, "the first", next(watcher).Resource.GetName(), ids[1])
		equal(t, "the second", next(watcher).Resource.GetName(), ids[2])
		for _, id := range ids {
			done(c.DeleteLock(ctx, id))
			equal(t, "gone", next(watcher).Resource.GetName(), id)
		}
	})
	step(t, "a filter that a kind does not have is no filter", func(t *testing.T, ctx context.Context) {
		watcher, _ := watching(t, ctx, c, false, types.WatchKind{Kind: types.KindRole, Filter: map[string]string{"name": "x"}})
		must(c.UpsertRole(ctx, newRole("wire-unfiltered")))
		equal(t, "name", next(watcher).Resource.GetName(), "wire-unfiltered")
	})
	step(t, "one watch of everything that has events", func(t *testing.T, ctx context.Context) {
		var kinds []types.WatchKind
		for _, kind := range []string{
			types.KindRole, types.KindUser, types.KindToken, types.KindLock, types.KindCertAuthority, types.KindClusterName, types.KindClusterAuthPreference,
			types.KindClusterNetworkingConfig, types.KindSessionRecordingConfig, types.KindClusterAuditConfig, types.KindApp, types.KindAppServer,
		} {
			kinds = append(kinds, types.WatchKind{Kind: kind})
		}
		_, first := watching(t, ctx, c, false, kinds...)
		equal(t, "accepted", len(first.Resource.(types.WatchStatus).GetKinds()), len(kinds))
	})
}
