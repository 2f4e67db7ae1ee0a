//! Drives an operation through its retries.

use std::fmt;
use std::sync::Arc;

use super::{RetryConfig, Retryable, next_wait};
use crate::clock::{Clock, SystemClock};
use crate::errors::InvalidConfig;

/// A source of numbers uniform in 0 to 1.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    /// A source that `draw` gives; a constant one makes a test exact.
    pub fn new(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// The next number.
    #[must_use]
    pub fn draw(&self) -> f64 {
        (self.0)()
    }
}

impl Default for Random {
    /// A fast generator, seeded for each thread; good for jitter and nothing else.
    fn default() -> Self {
        Self::new(fastrand::f64)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

/// Retry settings together with a clock and a random source.
#[derive(Debug, Clone)]
pub struct Retrier {
    config: RetryConfig,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl Retrier {
    /// On the system's clock.
    ///
    /// # Errors
    /// When `config` makes no sense.
    pub fn new(config: RetryConfig) -> Result<Self, InvalidConfig> {
        Self::with(config, Arc::new(SystemClock), Random::default())
    }

    /// On `clock`, jitter drawn from `random`.
    ///
    /// # Errors
    /// When `config` makes no sense.
    pub fn with(config: RetryConfig, clock: Arc<dyn Clock>, random: Random) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self { config, clock, random })
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &RetryConfig {
        &self.config
    }

    /// A number uniform in 0 to 1, from the random source.
    #[must_use]
    pub fn draw(&self) -> f64 {
        self.random.draw()
    }

    /// Calls `operation` until it succeeds, can't succeed, or the retries are used up. It is told the attempt's number,
    /// from 0. Dropping the future ends a wait.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run<T, E, F>(&self, mut operation: F) -> Result<T, E>
    where
        E: Retryable + fmt::Display,
        F: AsyncFnMut(u32) -> Result<T, E>,
    {
        let mut attempt = 0;
        loop {
            let error = match operation(attempt).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wait) = next_wait(&self.config, error.verdict(), attempt, self.random.draw()) else {
                return Err(error);
            };
            attempt += 1;
            tracing::debug!(attempt, ?wait, %error, "trying again");
            self.clock.sleep(wait).await;
        }
    }
}

/// Calls `operation` with retries, for operations other than publishing.
///
/// ```
/// # use form_usage_events::{errors::UsageEventError, retry::{RetryConfig, with_retry}};
/// # async fn ask() -> Result<u32, UsageEventError> { Ok(7) }
/// # async fn example() -> Result<(), UsageEventError> {
/// let answer = with_retry(&RetryConfig::default(), || ask()).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The last attempt's, or that the settings make no sense.
pub async fn with_retry<T, E, F, Fut>(config: &RetryConfig, mut operation: F) -> Result<T, E>
where
    E: Retryable + fmt::Display + From<InvalidConfig>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Retrier::new(config.clone())?.run(async |_| operation().await).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::errors::UsageEventError;
    use std::time::Duration;

    fn millis(waits: &[Duration]) -> Vec<u128> {
        waits.iter().map(Duration::as_millis).collect()
    }

    fn retrier(clock: &Arc<ManualClock>) -> Retrier {
        Retrier::with(RetryConfig::default(), clock.clone(), Random::new(|| 0.5)).unwrap()
    }

    #[tokio::test]
    async fn every_wait_is_the_backoff_and_the_last_error_is_told() {
        let clock = Arc::new(ManualClock::at_unix(0));
        let result: Result<(), _> =
            retrier(&clock).run(async |n| Err(UsageEventError::ConnectionError(format!("attempt {n}")))).await;
        assert_eq!(result.unwrap_err().to_string(), "connection failed: attempt 3");
        assert_eq!(millis(&clock.sleeps()), [100, 200, 400]);
    }

    #[tokio::test]
    async fn ends_at_the_first_success_and_at_a_permanent_error() {
        let clock = Arc::new(ManualClock::at_unix(0));
        let flaky = async |n| if n < 2 { Err(UsageEventError::ConnectionError("reset".into())) } else { Ok(n) };
        assert_eq!(retrier(&clock).run(flaky).await.unwrap(), 2);
        assert_eq!(millis(&clock.sleeps()), [100, 200]);

        let clock = Arc::new(ManualClock::at_unix(0));
        let result: Result<(), _> = retrier(&clock).run(async |_| Err(UsageEventError::CircuitBreakerOpen)).await;
        assert!(matches!(result, Err(UsageEventError::CircuitBreakerOpen)));
        assert!(clock.sleeps().is_empty());
    }

    #[tokio::test]
    async fn senseless_settings_are_an_error_and_no_call_is_made() {
        let config = RetryConfig { jitter_factor: 2.0, ..RetryConfig::default() };
        let result: Result<(), UsageEventError> = with_retry(&config, || async { panic!("called") }).await;
        assert_eq!(result.unwrap_err().to_string(), "jitter_factor is 2; it must be a number from 0 to 1");
    }
}
