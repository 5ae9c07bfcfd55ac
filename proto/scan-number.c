/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a number of a JSON text fits what it is read into, by its digits alone: no conversion, so
 * no locale, and exact where strtod() would round to infinity. Part of the scanner. */

#include "scan-number.h"

#include "scan.h"

/* The least real that rounds to infinity, 2^1024 - 2^970, has 309 digits. */
static const char overflow_digits[] =
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587"
        "207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711"
        "531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093"
        "042880177904174497792";

#define OVERFLOW_DIGITS ((int64_t)sizeof(overflow_digits) - 1)

int number_check_integer(const char *digits, size_t n, bool negative) {
        uint64_t v = 0;

        if (n > 19)
                return SCAN_E_NUMBER;
        for (size_t i = 0; i < n; i++)
                v = v * 10 + (uint64_t)(digits[i] - '0');
        return v <= (uint64_t)INT64_MAX + negative ? 0 : SCAN_E_NUMBER;
}

/* Would it round to infinity? digits is the integer part, the point and the fraction; their value
 * is 0.d1d2d3… × 10^magnitude from the first digit that is not 0 on. */
int number_check_real(const char *digits, size_t n, int64_t exponent) {
        int64_t magnitude = exponent, compared = 0;
        bool fraction = false, leading = true;

        for (size_t i = 0; i < n; i++) {
                if (digits[i] == '.') {
                        fraction = true;
                        continue;
                }
                if (leading && digits[i] == '0') {
                        magnitude -= fraction;
                        continue;
                }
                leading = false;
                magnitude += !fraction;
        }
        if (leading || magnitude < OVERFLOW_DIGITS)
                return 0;
        if (magnitude > OVERFLOW_DIGITS)
                return SCAN_E_NUMBER;

        leading = true;
        for (size_t i = 0; i < n && compared < OVERFLOW_DIGITS; i++) {
                if (digits[i] == '.' || (leading && digits[i] == '0'))
                        continue;
                leading = false;
                if (digits[i] != overflow_digits[compared])
                        return digits[i] < overflow_digits[compared] ? 0 : SCAN_E_NUMBER;
                compared++;
        }
        /* what is left of the limit's digits is not all 0 */
        return compared < OVERFLOW_DIGITS ? 0 : SCAN_E_NUMBER;
}
