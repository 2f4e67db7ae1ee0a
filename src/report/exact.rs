//! Sums of floats that are exact, so that neither the order nor the grouping of what is added shows in them.

/// A sum kept as parts that do not overlap, so that nothing is rounded until it is asked for (Shewchuk, "Adaptive
/// Precision Floating-Point Arithmetic", 1997; the method of Python's `math.fsum`). Two or three parts are usual.
///
/// Beyond the range of a float the sum stays at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct ExactSum {
    parts: Vec<f64>,
}

impl ExactSum {
    /// Adds `value`; what is infinite or no number is passed over.
    pub(super) fn add(&mut self, value: f64) {
        if value == 0.0 || !value.is_finite() {
            return;
        }
        let mut sum = value;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let mut part = self.parts[at];
            if sum.abs() < part.abs() {
                std::mem::swap(&mut sum, &mut part);
            }
            let high = sum + part;
            if !high.is_finite() {
                self.parts = vec![f64::MAX.copysign(high)];
                return;
            }
            let low = part - (high - sum);
            if low != 0.0 {
                self.parts[kept] = low;
                kept += 1;
            }
            sum = high;
        }
        self.parts.truncate(kept);
        if sum != 0.0 {
            self.parts.push(sum);
        }
    }

    /// Adds `value` times `count`, exactly. (A count beyond 2^53 is rounded to a float first.)
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn add_product(&mut self, value: f64, count: u64) {
        let count = count as f64;
        let product = value * count;
        self.add(if product == f64::INFINITY { f64::MAX } else { product });
        self.add(value.mul_add(count, -product));
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|part| self.add(*part));
    }

    /// The float that is nearest to the sum.
    pub(super) fn value(&self) -> f64 {
        let mut rest = self.parts.iter().rev();
        let Some(&first) = rest.next() else { return 0.0 };
        let (mut sum, mut low) = (first, 0.0);
        let mut next = rest.next();
        while let Some(&part) = next {
            let before = sum;
            sum = before + part;
            low = part - (sum - before);
            next = rest.next();
            if low != 0.0 {
                break;
            }
        }
        // Half-way between two floats, what lies below decides.
        if let Some(&below) = next
            && ((low < 0.0 && below < 0.0) || (low > 0.0 && below > 0.0))
        {
            let doubled = low * 2.0;
            let nudged = sum + doubled;
            if nudged - sum == doubled {
                sum = nudged;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.value()
    }

    #[test]
    fn nothing_is_rounded_away() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::NAN, f64::INFINITY, 2.0]), 2.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), 1.000_000_000_000_000_2e16, "half and a little is up");
        let mut product = ExactSum::default();
        product.add_product(0.1, 3);
        product.add(-0.1);
        product.add_product(0.1, 7);
        product.add(0.1);
        assert_eq!(product.value(), 1.0);
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_show(
            values in proptest::collection::vec(-1e12..1e12f64, 0..60),
            shuffled in any::<u64>(), cut in 0usize..60,
        ) {
            let expected = sum(&values);
            let mut other = values;
            fastrand::Rng::with_seed(shuffled).shuffle(&mut other);
            let (left, right) = other.split_at(cut.min(other.len()));
            let (mut first, mut second) = (ExactSum::default(), ExactSum::default());
            left.iter().for_each(|value| first.add(*value));
            right.iter().for_each(|value| second.add(*value));
            first.merge(&second);
            prop_assert_eq!(first.value(), expected);
        }

        /// Whole bytes as MB: an integer sum is the same.
        #[test]
        fn bytes_add_up_as_integers_do(bytes in proptest::collection::vec(0u64..1 << 40, 0..60)) {
            #[allow(clippy::cast_precision_loss)]
            let mb = |bytes: u64| bytes as f64 / 1_048_576.0;
            let values: Vec<f64> = bytes.iter().map(|bytes| mb(*bytes)).collect();
            prop_assert_eq!(sum(&values), mb(bytes.iter().sum()));
        }
    }
}
