//! `derpmap`: the DERP regions, `tailcfg.DERPMap`.

use std::collections::BTreeMap;

use crate::json::{Fields, Json};
use crate::ping::region_id;
use crate::{Request, SimState};

/// The answer's body, or the text of a 400. Before the first netmap there is no map.
pub(crate) fn derpmap(sim: &SimState, request: &Request) -> Result<String, &'static str> {
    if request.method != "GET" {
        return Err("want GET");
    }
    let map = if sim.netmap { map(sim) } else { Json::Null };
    let mut body = String::new();
    map.render(&mut body, 0);
    body.push('\n');
    Ok(body)
}

/// The yardstick's two regions, and any other that is somebody's home.
fn map(sim: &SimState) -> Json {
    let homes = sim.peers.values().map(|peer| peer.relay.as_str()).chain([sim.relay.as_str()]);
    let codes = ["nyc", "sfo"].into_iter().chain(homes).filter(|code| !code.is_empty());
    let regions: BTreeMap<_, _> = codes.map(|code| (region_id(code).to_string(), region(code))).collect();
    Fields::default().set("Regions", Json::Map(regions)).into()
}

fn region(code: &str) -> Json {
    let id = region_id(code);
    let node = Fields::default()
        .set("Name", format!("{id}a"))
        .set("RegionID", id)
        .set("HostName", format!("derp{id}.example.com"));
    Fields::default()
        .set("RegionID", id)
        .set("RegionCode", code)
        .set("RegionName", code.to_uppercase())
        .set("Nodes", Json::List(vec![node.into()]))
        .into()
}
