//! The tailnet's policy file: as much of it as `deploy/tailnet/policy.hujson` uses, and nothing that is not understood.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The policy file. A key that is not known here is an error: what cannot be judged must not pass.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// Who may give out a tag.
    pub tag_owners: BTreeMap<String, Vec<String>>,
    /// People.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Who may reach what. What no grant allows is denied.
    pub grants: Vec<Grant>,
    /// What must hold.
    pub tests: Vec<Test>,
}

/// Sources that may reach destinations at ports.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Tags.
    pub src: Vec<String>,
    /// Tags.
    pub dst: Vec<String>,
    /// `tcp:PORT`.
    pub ip: Vec<String>,
}

/// What one source must reach, and what it must not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// A tag.
    pub src: String,
    /// `tag:NAME:PORT`.
    #[serde(default)]
    pub accept: Vec<String>,
    /// `tag:NAME:PORT`.
    #[serde(default)]
    pub deny: Vec<String>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// What is not JSON (with comments and trailing commas), or not understood.
    pub fn read(hujson: &str) -> Result<Self, String> {
        let policy: Self = serde_json::from_str(&standard(hujson)).map_err(|error| error.to_string())?;
        policy.understood()?;
        Ok(policy)
    }

    /// Would a node of `src` reach `dst`, written as `tag:NAME:PORT`, over TCP?
    pub fn allows(&self, src: &str, dst: &str) -> bool {
        let (tag, port) = dst.rsplit_once(':').unwrap_or((dst, ""));
        let port = format!("tcp:{port}");
        let has = |list: &[String], one: &str| list.iter().any(|other| other == one);
        self.grants.iter().any(|grant| has(&grant.src, src) && has(&grant.dst, tag) && has(&grant.ip, &port))
    }

    /// What its own tests find wrong.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for Test { src, accept, deny } in &self.tests {
            let refused = accept.iter().filter(|dst| !self.allows(src, dst));
            failures.extend(refused.map(|dst| format!("{src} does not reach {dst}")));
            let reached = deny.iter().filter(|dst| self.allows(src, dst));
            failures.extend(reached.map(|dst| format!("{src} reaches {dst}")));
        }
        failures
    }

    /// Everything must be a tag that somebody owns, or a port of TCP: names, `*`, ranges and `autogroup:` mean more than
    /// [`Policy::allows`] knows.
    fn understood(&self) -> Result<(), String> {
        for grant in &self.grants {
            grant.src.iter().chain(&grant.dst).try_for_each(|tag| self.owned(tag))?;
            grant.ip.iter().try_for_each(|port| port_of(port, "tcp"))?;
        }
        for test in &self.tests {
            self.owned(&test.src)?;
            for dst in test.accept.iter().chain(&test.deny) {
                let (tag, _) = dst.rsplit_once(':').unwrap_or((dst, ""));
                self.owned(tag)?;
                port_of(dst, tag)?;
            }
        }
        for owner in self.tag_owners.values().flatten() {
            if !self.groups.contains_key(owner) && !self.tag_owners.contains_key(owner) {
                return Err(format!("{owner} owns a tag and is neither a group nor a tag of this file"));
            }
        }
        Ok(())
    }

    fn owned(&self, tag: &str) -> Result<(), String> {
        if self.tag_owners.contains_key(tag) { Ok(()) } else { Err(format!("{tag} is no tag that has an owner")) }
    }
}

/// `PREFIX:PORT`.
fn port_of(text: &str, prefix: &str) -> Result<(), String> {
    let port = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(':'));
    port.filter(|port| port.parse::<u16>().is_ok()).map(|_| ()).ok_or(format!("{text} is not {prefix}:PORT"))
}

/// JSON without the comments and trailing commas that Tailscale allows.
fn standard(hujson: &str) -> String {
    let mut json = String::new();
    for line in hujson.lines() {
        let mut in_string = false;
        let mut previous = ' ';
        let mut end = line.len();
        for (at, c) in line.char_indices() {
            match c {
                '"' if previous != '\\' => in_string = !in_string,
                '/' if !in_string && previous == '/' => {
                    end = at - 1;
                    break;
                }
                _ => {}
            }
            previous = c;
        }
        let code = line.get(..end).unwrap_or_default().trim();
        if code.starts_with([']', '}']) && json.ends_with(',') {
            json.pop();
        }
        json.push_str(code);
    }
    json
}
