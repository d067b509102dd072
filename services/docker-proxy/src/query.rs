//! A request's parameters: each taken by the one who knows it, and none left over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::filters::Filters;
use crate::refusal::Refusal;

/// What is left of a query to be taken.
#[derive(Debug)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Decoded.
    ///
    /// # Errors
    /// When one is there twice: two readers might take each another one.
    pub(crate) fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut values = BTreeMap::new();
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        for (name, value) in pairs.into_owned() {
            match values.entry(name) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(_) => return Err(Refusal::new("a parameter is given twice")),
            };
        }
        Ok(Self(values))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A switch; off unless given.
    pub(crate) fn switch(&mut self, name: &'static str) -> Result<bool, Refusal> {
        match self.take(name).as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => Err(Refusal::new(format!("{name} must be true or false"))),
        }
    }

    /// A switch that only may be off. Clients name the defaults of what they do not use.
    pub(crate) fn off(&mut self, name: &'static str) -> Result<(), Refusal> {
        if self.switch(name)? {
            return Err(Refusal::new(format!("{name} is not allowed")));
        }
        Ok(())
    }

    /// A parameter that only may have this value; whether it is there.
    pub(crate) fn only(&mut self, name: &'static str, value: &str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(given) if given == value => Ok(true),
            Some(_) => Err(Refusal::new(format!("{name} may only be {value:?}"))),
        }
    }

    /// A whole number in decimal digits, within a range.
    pub(crate) fn number<N: FromStr + PartialOrd>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<N>,
    ) -> Result<Option<N>, Refusal> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| range.contains(number));
        match number {
            Some(number) if digits => Ok(Some(number)),
            _ => Err(Refusal::new(format!("{name} is no number that is allowed"))),
        }
    }

    /// The caller's filters; none unless given.
    pub(crate) fn filters(&mut self) -> Result<Filters, Refusal> {
        let text = self.take("filters").filter(|text| !text.is_empty());
        text.map_or_else(|| Ok(Filters::default()), |text| Filters::read(&text))
    }

    /// # Errors
    /// When a parameter is left that nobody knows.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Refusal::new("a parameter that is not allowed"))
        }
    }
}
