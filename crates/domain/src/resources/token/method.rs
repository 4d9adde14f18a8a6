//! The join methods.

choice! {
    /// The kind of proof that a token asks for. The numbers are ours: the wire carries the word.
    pub enum JoinMethod {
        /// Left out: `token`, or `ec2` where AWS rules are given.
        #[default]
        Unspecified = 0 "",
        Token = 1 "token",
        Ec2 = 2 "ec2",
        Iam = 3 "iam",
        Github = 4 "github",
        Circleci = 5 "circleci",
        Kubernetes = 6 "kubernetes",
        Azure = 7 "azure",
        Gitlab = 8 "gitlab",
        Gcp = 9 "gcp",
        Spacelift = 10 "spacelift",
        Tpm = 11 "tpm",
        TerraformCloud = 12 "terraform_cloud",
        Bitbucket = 13 "bitbucket",
        Oracle = 14 "oracle",
        BoundKeypair = 15 "bound_keypair",
        AzureDevops = 16 "azure_devops",
        Env0 = 17 "env0",
        GenericOidc = 18 "generic_oidc",
    }
}

impl JoinMethod {
    /// Whether who knows the token's name may join: then the name is kept out of sight.
    #[must_use]
    pub const fn is_name_secret(self) -> bool {
        matches!(self, Self::Token | Self::Unspecified)
    }

    /// Whether the identity from such a join renews itself; all other methods repeat the join.
    #[must_use]
    pub const fn is_renewable(self) -> bool {
        matches!(self, Self::Token | Self::Ec2 | Self::BoundKeypair)
    }
}
