//! `derpmap`: which number a DERP region has.

use super::{LocalApi, MAX_ERROR_TEXT, broken, unexpected};
use crate::reason::{Failure, Reason};
use hyper::StatusCode;
use serde::Deserialize;
use std::collections::HashMap;

/// Bytes of the map that are read: Tailscale's own, with some thirty regions, has about 30 KiB.
const MAX_MAP: usize = 1 << 20;

#[derive(Deserialize)]
struct DerpMap {
    #[serde(rename = "Regions")]
    regions: Option<HashMap<String, Region>>,
}

#[derive(Deserialize)]
struct Region {
    #[serde(rename = "RegionID", default)]
    id: u32,
    #[serde(rename = "RegionCode", default)]
    code: String,
}

impl LocalApi {
    /// The number of the region with this code; none if the map has none, or tailscaled no map.
    pub async fn region_id(&mut self, code: &str) -> Result<Option<u32>, Failure> {
        let (mut connection, response) = self.get("/localapi/v0/derpmap").await?;
        let status = response.status();
        if status != StatusCode::OK {
            let text = connection.text(response.into_body(), MAX_ERROR_TEXT).await.unwrap_or_default();
            return Err(unexpected(status, &text));
        }
        let text = connection.text(response.into_body(), MAX_MAP).await.map_err(|error| broken(&error))?;
        self.kept = Some(connection);
        let map: Option<DerpMap> = serde_json::from_str(&text)
            .map_err(|error| Failure::new(Reason::NodeLocalapiInvalid, format_args!("the DERP map: {error}")))?;
        let regions = map.and_then(|map| map.regions).unwrap_or_default();
        Ok(regions.into_values().find(|region| region.code == code).map(|region| region.id))
    }
}
