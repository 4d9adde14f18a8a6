//! `app_server` v3: an agent that serves an application.

use crate::{
    Error,
    resources::{App, cert_authority::Rotation, resource},
};

resource!(
    /// An agent that serves an application.
    AppServer(AppServer), "v3" of ["v3"], AppServerSpec
);

document! {
    /// Which agent serves which application.
    pub struct AppServerSpec {
        +version: String,
        +hostname: String,
        +host_id: String,
        +rotation: Rotation,
        +app: Option<App>,
        proxy_ids: Vec<String>,
    }
}

impl AppServer {
    fn fill(&mut self) {
        if let Some(app) = &mut self.spec.app {
            crate::Resource::set_defaults(app);
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.spec.host_id.is_empty() {
            return Err(Error::invalid("spec.host_id: must not be empty"));
        }
        let app = self.spec.app.as_ref().ok_or_else(|| Error::invalid("spec.app: must not be left out"))?;
        crate::Resource::validate(app)
    }
}
