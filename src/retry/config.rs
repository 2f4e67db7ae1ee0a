//! The settings of retries.

use std::time::Duration;

use crate::errors::InvalidConfig;

/// How often and how patiently a failed attempt is made again.
///
/// Before retry n (from 0) the wait is `min(initial_backoff · backoff_multiplier^n, max_backoff)`, spread uniformly by
/// ± `jitter_factor` of itself.
///
/// ```
/// use form_usage_events::retry::RetryConfig;
///
/// let patient = RetryConfig { max_retries: 10, ..RetryConfig::default() };
/// assert!(patient.validate().is_ok());
/// assert!(RetryConfig { backoff_multiplier: 0.5, ..patient }.validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// Attempts after the first one; 3 by default. With 0 there is one attempt.
    pub max_retries: u32,
    /// The first wait; 100 ms by default.
    pub initial_backoff: Duration,
    /// The longest wait, before it is spread; 10 s by default.
    pub max_backoff: Duration,
    /// By how much each wait exceeds the one before; 2 by default, at least 1.
    pub backoff_multiplier: f64,
    /// How far a wait is spread, as a share of it; 0.1 by default, 0 to 1.
    pub jitter_factor: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            backoff_multiplier: 2.0,
            jitter_factor: 0.1,
        }
    }
}

impl RetryConfig {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let refuse = |setting, found: String, expected| Err(InvalidConfig::new(setting, found, expected));
        if !(self.backoff_multiplier.is_finite() && self.backoff_multiplier >= 1.0) {
            return refuse("backoff_multiplier", self.backoff_multiplier.to_string(), "a number of at least 1");
        }
        if !(0.0..=1.0).contains(&self.jitter_factor) {
            return refuse("jitter_factor", self.jitter_factor.to_string(), "a number from 0 to 1");
        }
        if self.max_backoff < self.initial_backoff {
            return refuse("max_backoff", format!("{:?}", self.max_backoff), "at least initial_backoff");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_settings_are_refused_by_name() {
        let good = RetryConfig::default();
        let cases = [
            (RetryConfig { backoff_multiplier: 0.99, ..good.clone() }, "backoff_multiplier"),
            (RetryConfig { backoff_multiplier: f64::NAN, ..good.clone() }, "backoff_multiplier"),
            (RetryConfig { backoff_multiplier: f64::INFINITY, ..good.clone() }, "backoff_multiplier"),
            (RetryConfig { jitter_factor: -0.1, ..good.clone() }, "jitter_factor"),
            (RetryConfig { jitter_factor: 1.1, ..good.clone() }, "jitter_factor"),
            (RetryConfig { jitter_factor: f64::NAN, ..good.clone() }, "jitter_factor"),
            (RetryConfig { max_backoff: Duration::from_millis(1), ..good.clone() }, "max_backoff"),
        ];
        assert_eq!(good.validate(), Ok(()));
        for (config, setting) in cases {
            assert_eq!(config.validate().unwrap_err().setting, setting, "{config:?}");
        }
    }
}
