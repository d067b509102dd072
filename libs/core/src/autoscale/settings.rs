//! What people set, and what of it is allowed.

use serde::{Deserialize, Serialize};

use crate::FieldError;

/// The longest target: a day.
pub const MAX_TARGET_SECONDS: u32 = 86_400;
/// The longest cool-down: a day.
pub const MAX_COOLDOWN_SECONDS: u32 = 86_400;

/// How the autoscaler is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AutoscalerSettings))]
pub struct Settings {
    /// Whether it decides at all.
    pub enabled: bool,
    /// Decides and records, and changes nothing.
    pub dry_run: bool,
    /// Somebody scaled by hand: nothing changes until that is released.
    pub pinned: bool,
    /// The fewest workers.
    pub min: u32,
    /// The most workers.
    pub max: u32,
    /// How many seconds of work may wait: a backlog is to be cleared within this.
    pub target_seconds: u32,
    /// Seconds from one growth to the next.
    pub scale_up_cooldown_seconds: u32,
    /// Seconds for which fewer workers must have been enough, and from any change, before the fleet shrinks.
    pub scale_down_cooldown_seconds: u32,
    /// The most workers that one decision adds.
    pub max_step_up: u32,
    /// The most workers that one decision takes away.
    pub max_step_down: u32,
}

impl Default for Settings {
    /// Off. The step up and the cool-downs are Kubernetes' defaults: 4 in 15 s, and 5 min before anything goes.
    fn default() -> Self {
        Self {
            enabled: false,
            dry_run: false,
            pinned: false,
            min: 1,
            max: 10,
            target_seconds: 60,
            scale_up_cooldown_seconds: 15,
            scale_down_cooldown_seconds: 300,
            max_step_up: 4,
            max_step_down: 4,
        }
    }
}

impl Settings {
    /// What is not allowed; nothing if all is well. A fleet has `fewest` to `most` workers.
    #[must_use]
    pub fn check(&self, fewest: u32, most: u32) -> Vec<FieldError> {
        let numbers = [
            ("min", self.min, fewest, most),
            ("max", self.max, fewest, most),
            ("target_seconds", self.target_seconds, 1, MAX_TARGET_SECONDS),
            (
                "scale_up_cooldown_seconds",
                self.scale_up_cooldown_seconds,
                0,
                MAX_COOLDOWN_SECONDS,
            ),
            (
                "scale_down_cooldown_seconds",
                self.scale_down_cooldown_seconds,
                0,
                MAX_COOLDOWN_SECONDS,
            ),
            ("max_step_up", self.max_step_up, 1, most),
            ("max_step_down", self.max_step_down, 1, most),
        ];
        let mut errors: Vec<FieldError> = numbers
            .into_iter()
            .filter(|(_, value, low, high)| !(low..=high).contains(&value))
            .map(|(field, _, low, high)| {
                FieldError::new(
                    field,
                    format!("must be a whole number from {low} to {high}"),
                )
            })
            .collect();
        if errors.is_empty() && self.min > self.max {
            let message = format!(
                "must not be greater than max: {} is more than {}",
                self.min, self.max
            );
            errors.push(FieldError::new("min", message));
        }
        errors
    }
}

/// A change of the settings: what is not given stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AutoscalerChange))]
#[serde(deny_unknown_fields, default)]
pub struct SettingsPatch {
    /// Whether it decides at all. Switched on, it is not pinned unless that is asked for.
    pub enabled: Option<bool>,
    /// Decides and records, and changes nothing.
    pub dry_run: Option<bool>,
    /// `false` releases what scaling by hand has pinned.
    pub pinned: Option<bool>,
    /// The fewest workers, 1 to 50.
    pub min: Option<u32>,
    /// The most workers, 1 to 50.
    pub max: Option<u32>,
    /// How many seconds of work may wait, 1 to 86400.
    pub target_seconds: Option<u32>,
    /// Seconds from one growth to the next, 0 to 86400.
    pub scale_up_cooldown_seconds: Option<u32>,
    /// Seconds for which fewer workers must have been enough before the fleet shrinks, 0 to 86400.
    pub scale_down_cooldown_seconds: Option<u32>,
    /// The most workers that one decision adds, 1 to 50.
    pub max_step_up: Option<u32>,
    /// The most workers that one decision takes away, 1 to 50.
    pub max_step_down: Option<u32>,
}

impl SettingsPatch {
    /// Reads a change from JSON, naming the field that does not fit.
    ///
    /// # Errors
    /// One [`FieldError`]: no object, an unknown field, a value of the wrong type.
    pub fn from_json(value: serde_json::Value) -> Result<Self, FieldError> {
        if !value.is_object() {
            let message = "must be a JSON object such as {\"enabled\": true, \"max\": 10}";
            return Err(FieldError::new("", message));
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let field = match error.path().to_string() {
                path if path == "." => String::new(),
                path => path,
            };
            // serde names Rust's types, which say nothing to whoever sent this.
            let message = error.inner().to_string();
            FieldError::new(
                field,
                message.replace("expected u32", "expected a whole number from 0 up"),
            )
        })
    }

    /// The settings with this change made.
    #[must_use]
    pub fn apply(&self, to: Settings) -> Settings {
        let enabled = self.enabled.unwrap_or(to.enabled);
        let was_pinned = to.pinned && to.enabled && enabled;
        Settings {
            enabled,
            dry_run: self.dry_run.unwrap_or(to.dry_run),
            pinned: self.pinned.unwrap_or(was_pinned),
            min: self.min.unwrap_or(to.min),
            max: self.max.unwrap_or(to.max),
            target_seconds: self.target_seconds.unwrap_or(to.target_seconds),
            scale_up_cooldown_seconds: self
                .scale_up_cooldown_seconds
                .unwrap_or(to.scale_up_cooldown_seconds),
            scale_down_cooldown_seconds: self
                .scale_down_cooldown_seconds
                .unwrap_or(to.scale_down_cooldown_seconds),
            max_step_up: self.max_step_up.unwrap_or(to.max_step_up),
            max_step_down: self.max_step_down.unwrap_or(to.max_step_down),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_told_by_its_field() {
        let fields = |settings: Settings| -> Vec<String> {
            let errors = settings.check(1, 50).into_iter();
            errors.map(|error| error.to_string()).collect()
        };
        let good = Settings::default();
        assert_eq!(fields(good), [""; 0]);
        assert_eq!(
            fields(Settings {
                min: 50,
                max: 50,
                ..good
            }),
            [""; 0]
        );
        for (bad, what) in [
            (
                Settings { min: 0, ..good },
                "min: must be a whole number from 1 to 50",
            ),
            (
                Settings { max: 51, ..good },
                "max: must be a whole number from 1 to 50",
            ),
            (
                Settings {
                    min: 5,
                    max: 4,
                    ..good
                },
                "min: must not be greater than max: 5 is more than 4",
            ),
            (
                Settings {
                    target_seconds: 0,
                    ..good
                },
                "target_seconds: must be a whole number from 1 to 86400",
            ),
            (
                Settings {
                    scale_up_cooldown_seconds: 86_401,
                    ..good
                },
                "scale_up_cooldown_seconds: must be a whole number from 0 to 86400",
            ),
            (
                Settings {
                    max_step_down: 0,
                    ..good
                },
                "max_step_down: must be a whole number from 1 to 50",
            ),
        ] {
            assert_eq!(fields(bad), [what]);
        }
    }

    #[test]
    fn a_change_is_read_field_by_field() {
        let read = |value| SettingsPatch::from_json(value).map_err(|error| error.to_string());
        let change = SettingsPatch {
            max: Some(7),
            ..SettingsPatch::default()
        };
        assert_eq!(read(serde_json::json!({"max": 7})), Ok(change));
        assert_eq!(read(serde_json::json!({})), Ok(SettingsPatch::default()));
        for (bad, what) in [
            (serde_json::json!([]), "must be a JSON object"),
            (serde_json::json!({"maximum": 7}), "maximum: unknown field"),
            (
                serde_json::json!({"max": "7"}),
                "max: invalid type: string \"7\", expected a whole number from 0 up",
            ),
            (serde_json::json!({"max": -7}), "max: invalid value"),
            (serde_json::json!({"enabled": 1}), "enabled: invalid type"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let before = Settings {
            enabled: true,
            pinned: true,
            ..Settings::default()
        };
        assert_eq!(SettingsPatch::default().apply(before), before);
        let max = SettingsPatch {
            max: Some(7),
            ..SettingsPatch::default()
        };
        assert_eq!(max.apply(before), Settings { max: 7, ..before });
        let released = SettingsPatch {
            pinned: Some(false),
            ..SettingsPatch::default()
        };
        assert!(!released.apply(before).pinned);
    }

    #[test]
    fn switching_it_off_and_on_releases_it() {
        let before = Settings {
            enabled: true,
            pinned: true,
            ..Settings::default()
        };
        let switch = |enabled| SettingsPatch {
            enabled: Some(enabled),
            ..SettingsPatch::default()
        };
        assert!(switch(true).apply(before).pinned, "it was on");
        let off = switch(false).apply(before);
        assert!(!off.pinned);
        assert!(
            !switch(true)
                .apply(Settings {
                    pinned: true,
                    ..off
                })
                .pinned
        );
    }
}
