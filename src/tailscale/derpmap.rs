//! `derpmap`: which number a DERP region has.

use super::LocalApi;
use crate::reason::Failure;
use serde::Deserialize;
use std::collections::HashMap;

/// Bytes of the map that are read: Tailscale's own, with some thirty regions, has about 30 KiB.
const MAX_MAP: usize = 1 << 20;

#[derive(Deserialize)]
struct DerpMap {
    #[serde(rename = "Regions")]
    regions: Option<HashMap<String, DerpMapRegion>>,
}

#[derive(Deserialize)]
struct DerpMapRegion {
    #[serde(rename = "RegionID", default)]
    id: u32,
    #[serde(rename = "RegionCode", default)]
    code: String,
}

impl LocalApi {
    /// The number of the region with this code; none if the map has none, or tailscaled no map.
    pub async fn region_id(&mut self, code: &str) -> Result<Option<u32>, Failure> {
        let map: Option<DerpMap> = self.get_json("/localapi/v0/derpmap", MAX_MAP, "DERP map").await?;
        let regions = map.and_then(|map| map.regions).unwrap_or_default();
        Ok(regions.into_values().find(|region| region.code == code).map(|region| region.id))
    }
}
