//! The signature algorithm suites. Which key a suite gives to which purpose is the key store's table.

choice! {
    /// A family of key algorithms for a whole cluster.
    pub enum Suite {
        /// Nothing chosen: the cluster's default, `balanced-v1`.
        #[default]
        Unspecified = 0 "" also "SIGNATURE_ALGORITHM_SUITE_UNSPECIFIED",
        Legacy = 1 "legacy" also "SIGNATURE_ALGORITHM_SUITE_LEGACY",
        BalancedV1 = 2 "balanced-v1" also "SIGNATURE_ALGORITHM_SUITE_BALANCED_V1",
        FipsV1 = 3 "fips-v1" also "SIGNATURE_ALGORITHM_SUITE_FIPS_V1",
        HsmV1 = 4 "hsm-v1" also "SIGNATURE_ALGORITHM_SUITE_HSM_V1",
    }
}

impl Suite {
    /// The suite in force: an unspecified one is `balanced-v1`.
    #[must_use]
    pub const fn effective(self) -> Self {
        match self {
            Self::Unspecified => Self::BalancedV1,
            chosen => chosen,
        }
    }
}
