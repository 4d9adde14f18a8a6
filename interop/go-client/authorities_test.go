package goclient

import (
	"bytes"
	"context"
	"encoding/pem"
	"testing"

	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
	"golang.org/x/crypto/ssh"
)

// leafAuthority is the user CA of another cluster.
func leafAuthority(name string) types.CertAuthority {
	_, certificate := selfSigned(name)
	return must(types.NewCertAuthority(types.CertAuthoritySpecV2{
		Type: types.UserCA, ClusterName: name,
		ActiveKeys: types.CAKeySet{
			SSH: []*types.SSHKeyPair{{PublicKey: newKey().MarshalSSHPublicKey()}},
			TLS: []*types.TLSKeyPair{{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})}},
		},
	}))
}

// secret finds private material.
func secret(authority types.CertAuthority) bool {
	for _, set := range []types.CAKeySet{authority.GetActiveKeys(), authority.GetAdditionalTrustedKeys()} {
		for _, pair := range set.SSH {
			if len(pair.PrivateKey) > 0 {
				return true
			}
		}
		for _, pair := range set.TLS {
			if len(pair.Key) > 0 {
				return true
			}
		}
		for _, pair := range set.JWT {
			if len(pair.PrivateKey) > 0 {
				return true
			}
		}
	}
	return false
}

func TestCertAuthorities(t *testing.T) {
	defer guard(t)
	c := admin(t)
	for _, kind := range []types.CertAuthType{
		types.HostCA, types.UserCA, types.DatabaseCA, types.DatabaseClientCA, types.OpenSSHCA, types.JWTSigner,
		types.SAMLIDPCA, types.OIDCIdPCA, types.SPIFFECA, types.OktaCA,
	} {
		step(t, "type "+string(kind), func(t *testing.T, ctx context.Context) {
			all := must(c.GetCertAuthorities(ctx, kind, false))
			equal(t, "how many", len(all), 1)
			one := must(c.GetCertAuthority(ctx, types.CertAuthID{Type: kind, DomainName: cluster}, false))
			equal(t, "cluster", one.GetClusterName(), cluster)
			equal(t, "type", one.GetType(), kind)
			equal(t, "the same", one.GetRevision(), all[0].GetRevision())
			holds(t, "no private key", !secret(one) && !secret(all[0]))
			keys := one.GetActiveKeys()
			holds(t, "there is a key", len(keys.SSH)+len(keys.TLS)+len(keys.JWT) > 0)
			for _, pair := range keys.SSH {
				must1(ssh.ParseAuthorizedKey(pair.PublicKey))
			}
			for _, pair := range keys.TLS {
				block, _ := pem.Decode(pair.Cert)
				holds(t, "a certificate", block != nil && block.Type == "CERTIFICATE")
			}
			for _, pair := range keys.JWT {
				holds(t, "a public key", bytes.Contains(pair.PublicKey, []byte("PUBLIC KEY")))
			}
			// Not even with every verb on cert_authority: keys leave on the auth server's own host only.
			_, err := c.GetCertAuthority(ctx, types.CertAuthID{Type: kind, DomainName: cluster}, true)
			refused(t, "with keys", trace.IsAccessDenied, err)
			_, err = c.GetCertAuthorities(ctx, kind, true)
			refused(t, "all with keys", trace.IsAccessDenied, err)
		})
	}
	step(t, "unknown types and clusters", func(t *testing.T, ctx context.Context) {
		_, err := c.GetCertAuthorities(ctx, "gnome", false)
		refused(t, "type", trace.IsBadParameter, err)
		holds(t, "with the text that tools look for", err != nil && bytes.Contains([]byte(err.Error()), []byte("authority type is not supported")))
		_, err = c.GetCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: "elsewhere"}, false)
		refused(t, "cluster", trace.IsNotFound, err)
	})
	step(t, "nobody deletes the cluster's own", func(t *testing.T, ctx context.Context) {
		err := c.DeleteCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: cluster})
		holds(t, "refused", err != nil)
		must(c.GetCertAuthority(ctx, types.CertAuthID{Type: types.UserCA, DomainName: cluster}, false))
	})
}

func must1(_ ssh.PublicKey, _ string, _ []string, _ []byte, err error) { done(err) }
