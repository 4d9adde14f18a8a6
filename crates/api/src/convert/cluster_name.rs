//! The name of the cluster.

use domain::resources::cluster_name::{ClusterName, ClusterNameSpec};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    ClusterNameSpec => types::ClusterNameSpecV2 {
        cluster_name, cluster_id
    }
}

resource!(ClusterName => types::ClusterNameV2);
