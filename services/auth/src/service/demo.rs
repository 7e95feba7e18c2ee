//! Demo data.

use std::collections::HashSet;

use http::Method;
use touchstone_api::Page;
use touchstone_api::auth::SeedDemoResponse;
use touchstone_api::document::Document;
use touchstone_client::{DocumentClient, ServiceClient};
use touchstone_identity::Caller;

use super::Auth;
use crate::config::Profile;
use crate::{Error, SERVICE};

/// Pages of the tenant's documents that are looked through for demo documents that are there.
const MAX_PAGES: usize = 10;

impl Auth {
    /// Uploads the demo documents that the caller's tenant lacks, on behalf of the caller.
    ///
    /// # Errors
    /// [`Error::DemoRefused`] in the production profile, [`Error::Demo`] when document refuses.
    pub async fn seed_demo(&self, caller: &Caller) -> Result<SeedDemoResponse, Error> {
        if self.0.config.profile == Profile::Production {
            return Err(Error::DemoRefused);
        }
        let present = self.filenames(caller).await?;
        let client = DocumentClient::new(self.0.mesh.clone(), SERVICE);
        let missing = self
            .0
            .demo
            .iter()
            .filter(|document| !present.contains(&document.filename));
        let mut documents = 0;
        for document in missing {
            client.create(caller, document).await.map_err(Error::Demo)?;
            documents += 1;
        }
        Ok(SeedDemoResponse { documents })
    }

    async fn filenames(&self, caller: &Caller) -> Result<HashSet<String>, Error> {
        let client = ServiceClient::new(self.0.mesh.clone(), SERVICE, "document");
        let (mut filenames, mut path) = (HashSet::new(), "/documents?limit=200".to_owned());
        for _ in 0..MAX_PAGES {
            let page: Page<Document> = client
                .call(caller, Method::GET, &path, None::<&()>)
                .await
                .map_err(Error::Demo)?;
            filenames.extend(page.items.into_iter().map(|document| document.filename));
            let Some(cursor) = page.next_cursor else {
                break;
            };
            path = format!("/documents?limit=200&cursor={cursor}");
        }
        Ok(filenames)
    }
}
