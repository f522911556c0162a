//! Role files: a system prompt with the model, tools and limits that go with it.
//!
//! Must not render: the text of a role is given to the model as it stands.

use std::collections::BTreeMap;

use plue_plan::{Diagnostic, Span};

use crate::{
    codes, frontmatter,
    header::{self, ROLE_FIELDS, is_name, shown, span},
    prompt::{Settings, name_warning, no_frontmatter, settings},
};

/// A role that a step may name.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    name: String,
    description: Option<String>,
    aliases: Vec<String>,
    settings: Settings,
    prompt: String,
    file: String,
    warnings: Vec<Diagnostic>,
}

/// Roles by name and alias.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    by_name: BTreeMap<String, Role>,
    aliases: BTreeMap<String, String>,
}

// === impl Role ===

impl Role {
    /// Reads a file. `file` is its path, for diagnostics and to compare the name with.
    ///
    /// # Errors
    /// Every problem of the frontmatter.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let parts = frontmatter::split(file, text).map_err(|problem| vec![problem])?;
        let Some(yaml) = &parts.frontmatter else {
            return Err(vec![no_frontmatter(file)]);
        };
        let (mut header, mut warnings) = header::read(file, yaml, ROLE_FIELDS)?;
        let mut problems = Vec::new();
        let mut name = String::new();
        if let Some(field) = header.name.take() {
            if !is_name(&field.value) {
                let message = format!("`{}` is no name of a role", shown(&field.value));
                let place = span(file, field.referenced);
                problems.push(Diagnostic::error(codes::MISSING_NAME, message).at(place));
            }
            name = field.value;
        }
        let aliases = std::mem::take(&mut header.aliases);
        let description = header.description.take().map(|text| text.value);
        let settings = settings(file, header, &mut problems);
        let prompt = parts.without_last_line_end().trim_matches('\n').to_owned();
        warnings.extend(name_warning(file, &name));
        if prompt.contains("{{") {
            let message = "the text of a role is not rendered, and it holds `{{`";
            let place = Span::at(file, parts.body_line, 1);
            warnings.push(Diagnostic::warning(codes::TEMPLATE_IN_ROLE, message).at(place));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            name,
            description,
            aliases: aliases.into_iter().map(|alias| alias.value).collect(),
            settings,
            prompt,
            file: file.to_owned(),
            warnings,
        })
    }

    /// Name of the role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Purpose of the role.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Other names for it.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Model, tools and limits.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The system prompt, without line ends around it; empty for a role without one.
    #[must_use]
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// The path that was given to [`Role::parse`].
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Warnings about the file.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

// === impl Roles ===

impl Roles {
    /// A set without roles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a role.
    ///
    /// # Errors
    /// Its name or an alias is taken.
    pub fn insert(&mut self, role: Role) -> Result<(), Diagnostic> {
        let key = key(&role.name);
        let mut keys: Vec<String> = role.aliases.iter().map(|alias| self::key(alias)).collect();
        keys.retain(|alias| *alias != key);
        let taken = keys.iter().chain([&key]).find(|name| self.holds(name));
        if let Some(name) = taken {
            let message = format!("there is a role `{name}` already");
            let place = Span::at(role.file, 1, 1);
            return Err(Diagnostic::error(codes::DUPLICATE_NAME, message).at(place));
        }
        for alias in keys {
            self.aliases.insert(alias, key.clone());
        }
        self.by_name.insert(key, role);
        Ok(())
    }

    /// The role of a name or alias. `PRODUCT_MANAGER`, `product-manager` and `product_manager` are
    /// one name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Role> {
        let key = key(name);
        let key = self.aliases.get(&key).unwrap_or(&key);
        self.by_name.get(key)
    }

    /// The role of a name here, else in `other`: a repository's roles before the shipped ones.
    #[must_use]
    pub fn get_or<'r>(&'r self, name: &str, other: &'r Self) -> Option<&'r Role> {
        self.get(name).or_else(|| other.get(name))
    }

    /// All roles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.by_name.values()
    }

    /// Every name and alias, for "did you mean".
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().chain(self.aliases.keys()).map(String::as_str)
    }

    fn holds(&self, key: &str) -> bool {
        self.by_name.contains_key(key) || self.aliases.contains_key(key)
    }
}

/// True if two spellings name the same role: `PRODUCT_MANAGER` and `product-manager` do.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    key(a) == key(b)
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}
