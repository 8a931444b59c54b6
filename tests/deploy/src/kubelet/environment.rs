//! A container's environment and its arguments.

use std::collections::BTreeMap;

use super::{
    spec::{Container, EnvSource},
    volume::{Objects, lookup},
};

/// What the downward API says of a pod, by field path.
pub(super) type Fields = BTreeMap<&'static str, String>;

/// Where the API server is said to be; nobody is there. Every pod is told, and a program may act on it.
const API_SERVER: [(&str, &str); 3] = [
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("KUBERNETES_SERVICE_PORT", "443"),
    ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
];

/// The variables of a container, in their order.
pub(super) fn variables(container: &Container, fields: &Fields, objects: &Objects) -> Vec<(String, String)> {
    let mut variables: Vec<_> = API_SERVER.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for variable in &container.env {
        let value = match &variable.value_from {
            None => expand(&variable.value, &variables),
            Some(EnvSource::FieldRef { field_path }) => {
                let field = fields.get(field_path.as_str());
                field.unwrap_or_else(|| panic!("no field {field_path:?} here")).clone()
            }
            Some(EnvSource::SecretKeyRef { name, key }) => {
                let secret = lookup("Secret", &objects.secrets, name);
                secret.get(key).unwrap_or_else(|| panic!("Secret {name} has no {key:?}")).clone()
            }
        };
        variables.push((variable.name.clone(), value));
    }
    variables
}

/// `$(NAME)` for the variables there are; others stay as they are, and `$$` is a dollar sign.
pub(super) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let value = reference.and_then(|(name, _)| variables.iter().rev().find(|(known, _)| known == name));
        rest = match (reference, value) {
            (Some((_, behind)), Some((_, value))) => {
                out.push_str(value);
                behind
            }
            _ => {
                out.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_values_and_the_unknown_stays() {
        let variables = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())];
        for (text, expanded) in
            [("$(A)-$(B)", "1-2"), ("$(C) $(A", "$(C) $(A"), ("$$(A) costs 5$", "$(A) costs 5$"), ("$A", "$A")]
        {
            assert_eq!(expand(text, &variables), expanded, "{text}");
        }
    }
}
