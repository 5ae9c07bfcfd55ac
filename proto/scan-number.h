/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "basic.h"

/* Both return 0 or SCAN_E_NUMBER. digits are n decimal digits without a sign, and for a real the
 * integer part, the point and the fraction, with what was said after the e as exponent. */
int number_check_integer(const char *digits, size_t n, bool negative);
int number_check_real(const char *digits, size_t n, int64_t exponent);
