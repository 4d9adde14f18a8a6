package goclient

import (
	"context"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// A key set with one RSA key: what a token keeps for issuers that cannot be asked.
const keySet = `{"keys":[{"use":"sig","kty":"RSA","kid":"1","alg":"RS256","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}]}`

// specs is one token for each join method.
func specs() map[types.JoinMethod]types.ProvisionTokenSpecV2 {
	bot := func(method types.JoinMethod) types.ProvisionTokenSpecV2 {
		return types.ProvisionTokenSpecV2{Roles: []types.SystemRole{types.RoleBot}, JoinMethod: method, BotName: "ci"}
	}
	token, node := bot(types.JoinMethodToken), types.ProvisionTokenSpecV2{Roles: []types.SystemRole{types.RoleNode}}
	ec2, iam := node, node
	ec2.JoinMethod, iam.JoinMethod = types.JoinMethodEC2, types.JoinMethodIAM
	ec2.Allow = []*types.TokenRule{{AWSAccount: "123456789012", AWSRegions: []string{"us-west-2"}, AWSRole: "arn:aws:iam::123456789012:role/reader"}}
	ec2.AWSIIDTTL = types.Duration(7 * time.Minute)
	iam.Allow = []*types.TokenRule{{AWSAccount: "123456789012", AWSARN: "arn:aws:sts::123456789012:assumed-role/x/i-*"}}
	github := bot(types.JoinMethodGitHub)
	github.GitHub = &types.ProvisionTokenSpecV2GitHub{
		EnterpriseServerHost: "git.example.com",
		Allow:                []*types.ProvisionTokenSpecV2GitHub_Rule{{Repository: "o/r", RepositoryOwner: "o", Ref: "refs/heads/main", RefType: "branch", Environment: "prod"}},
	}
	circle := bot(types.JoinMethodCircleCI)
	circle.CircleCI = &types.ProvisionTokenSpecV2CircleCI{OrganizationID: "org", Allow: []*types.ProvisionTokenSpecV2CircleCI_Rule{{ProjectID: "p", ContextID: "c"}}}
	kubernetes := bot(types.JoinMethodKubernetes)
	kubernetes.Kubernetes = &types.ProvisionTokenSpecV2Kubernetes{
		Type:       types.KubernetesJoinTypeStaticJWKS,
		Allow:      []*types.ProvisionTokenSpecV2Kubernetes_Rule{{ServiceAccount: "ns:sa"}},
		StaticJWKS: &types.ProvisionTokenSpecV2Kubernetes_StaticJWKSConfig{JWKS: keySet},
	}
	azure := bot(types.JoinMethodAzure)
	azure.Azure = &types.ProvisionTokenSpecV2Azure{Allow: []*types.ProvisionTokenSpecV2Azure_Rule{{Subscription: "11111111-2222-3333-4444-555555555555", ResourceGroups: []string{"g"}}}}
	gitlab := bot(types.JoinMethodGitLab)
	gitlab.GitLab = &types.ProvisionTokenSpecV2GitLab{
		Domain: "gitlab.example.com",
		Allow:  []*types.ProvisionTokenSpecV2GitLab_Rule{{ProjectPath: "g/p", RefProtected: types.NewBoolOption(true), DeploymentTier: "production"}},
	}
	gcp := bot(types.JoinMethodGCP)
	gcp.GCP = &types.ProvisionTokenSpecV2GCP{Allow: []*types.ProvisionTokenSpecV2GCP_Rule{{ProjectIDs: []string{"p"}, Locations: []string{"us-west1"}, ServiceAccounts: []string{"a@p.iam.gserviceaccount.com"}}}}
	spacelift := bot(types.JoinMethodSpacelift)
	spacelift.Spacelift = &types.ProvisionTokenSpecV2Spacelift{Hostname: "x.app.spacelift.io", Allow: []*types.ProvisionTokenSpecV2Spacelift_Rule{{SpaceID: "root", CallerID: "s", CallerType: "stack", Scope: "write"}}}
	tpm := bot(types.JoinMethodTPM)
	tpm.TPM = &types.ProvisionTokenSpecV2TPM{Allow: []*types.ProvisionTokenSpecV2TPM_Rule{{Description: "d", EKPublicHash: "d4b45864d9d6fabfc568d74f26c35ababde2105337d7af9a6605e1c56c891aa6"}}}
	terraform := bot(types.JoinMethodTerraformCloud)
	terraform.TerraformCloud = &types.ProvisionTokenSpecV2TerraformCloud{
		Audience: "aud", Hostname: "tfe.example.com",
		Allow: []*types.ProvisionTokenSpecV2TerraformCloud_Rule{{OrganizationName: "o", ProjectName: "p", WorkspaceName: "w", RunPhase: "apply"}},
	}
	bitbucket := bot(types.JoinMethodBitbucket)
	bitbucket.Bitbucket = &types.ProvisionTokenSpecV2Bitbucket{
		Audience: "ari:cloud:bitbucket::workspace/1", IdentityProviderURL: "https://api.bitbucket.org/2.0/workspaces/w/pipelines-config/identity/oidc",
		Allow: []*types.ProvisionTokenSpecV2Bitbucket_Rule{{WorkspaceUUID: "{1}", RepositoryUUID: "{2}", BranchName: "main"}},
	}
	all := map[types.JoinMethod]types.ProvisionTokenSpecV2{}
	for _, spec := range []types.ProvisionTokenSpecV2{token, ec2, iam, github, circle, kubernetes, azure, gitlab, gcp, spacelift, tpm, terraform, bitbucket} {
		all[spec.JoinMethod] = spec
	}
	return all
}

func TestTokens(t *testing.T) {
	defer guard(t)
	c := admin(t)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for method, spec := range specs() {
		step(t, "round trip of "+string(method), func(t *testing.T, ctx context.Context) {
			wanted := must(types.NewProvisionTokenFromSpec("tokens-"+string(method), expires, spec))
			done(c.CreateToken(ctx, wanted))
			got := must(c.GetToken(ctx, wanted.GetName())).(*types.ProvisionTokenV2)
			// Compared as bytes: nothing that was sent may be missing, nothing may have been added.
			sent := wanted.(*types.ProvisionTokenV2)
			equal(t, "spec", string(must(got.Spec.Marshal())), string(must(sent.Spec.Marshal())))
			holds(t, "there is a revision", got.GetRevision() != "")
			holds(t, "it ends when asked", got.Expiry().Equal(expires))
			refused(t, "again", trace.IsAlreadyExists, c.CreateToken(ctx, wanted))
		})
	}
	step(t, "list", func(t *testing.T, ctx context.Context) {
		count := map[types.JoinMethod]int{}
		for _, token := range must(c.GetTokens(ctx)) {
			count[token.GetJoinMethod()]++
		}
		for method := range specs() {
			holds(t, "there is a token of "+string(method), count[method] > 0)
		}
	})
	step(t, "upsert", func(t *testing.T, ctx context.Context) {
		for _, role := range []types.SystemRole{types.RoleNode, types.RoleApp} {
			token := must(types.NewProvisionToken("tokens-upsert", types.SystemRoles{role}, expires))
			done(c.UpsertToken(ctx, token))
			equal(t, "roles", must(c.GetToken(ctx, "tokens-upsert")).GetRoles(), types.SystemRoles{role})
		}
	})
	step(t, "labels and defaults", func(t *testing.T, ctx context.Context) {
		token := must(types.NewProvisionToken("tokens-labels", types.SystemRoles{types.RoleNode}, expires)).(*types.ProvisionTokenV2)
		token.Metadata.Labels = map[string]string{"team": "a"}
		token.Spec.SuggestedLabels = types.Labels{"env": {"dev"}}
		done(c.UpsertToken(ctx, token))
		got := must(c.GetToken(ctx, "tokens-labels"))
		equal(t, "label", got.GetMetadata().Labels["team"], "a")
		equal(t, "suggested", got.GetSuggestedLabels()["env"], token.Spec.SuggestedLabels["env"])
		equal(t, "method", got.GetJoinMethod(), types.JoinMethodToken)
	})
	step(t, "bad documents are BadParameter", func(t *testing.T, ctx context.Context) {
		good := func() *types.ProvisionTokenV2 {
			return must(types.NewProvisionToken("tokens-bad", types.SystemRoles{types.RoleNode}, expires)).(*types.ProvisionTokenV2)
		}
		for what, spoil := range map[string]func(*types.ProvisionTokenV2){
			"no roles":                 func(p *types.ProvisionTokenV2) { p.Spec.Roles = nil },
			"an unknown role":          func(p *types.ProvisionTokenV2) { p.Spec.Roles = []types.SystemRole{"Gardener"} },
			"an unknown method":        func(p *types.ProvisionTokenV2) { p.Spec.JoinMethod = "pigeon" },
			"a bot without its name":   func(p *types.ProvisionTokenV2) { p.Spec.Roles = []types.SystemRole{types.RoleBot} },
			"a method without a block": func(p *types.ProvisionTokenV2) { p.Spec.JoinMethod = types.JoinMethodGitHub },
		} {
			token := good()
			spoil(token)
			refused(t, what, trace.IsBadParameter, c.CreateToken(ctx, token))
		}
	})
	step(t, "delete, then NotFound", func(t *testing.T, ctx context.Context) {
		done(c.DeleteToken(ctx, "tokens-upsert"))
		_, err := c.GetToken(ctx, "tokens-upsert")
		refused(t, "get", trace.IsNotFound, err)
		refused(t, "delete again", trace.IsNotFound, c.DeleteToken(ctx, "tokens-upsert"))
	})
}
