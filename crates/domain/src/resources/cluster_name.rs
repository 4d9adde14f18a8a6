//! `cluster_name` v2: made once, never changed.

use crate::{Error, names, resources::resource};

resource!(
    /// The name and the id of the cluster.
    ClusterName(ClusterName), "v2" of ["v2"], ClusterNameSpec
);

document! {
    /// The name and the id of the cluster.
    pub struct ClusterNameSpec {
        +cluster_name: String,
        +cluster_id: String,
    }
}

impl ClusterName {
    fn fill(&mut self) {}

    fn check(&self) -> Result<(), Error> {
        names::CLUSTER.check("spec.cluster_name", &self.spec.cluster_name)?;
        names::UUID.check("spec.cluster_id", &self.spec.cluster_id)
    }
}
