/* SPDX-License-Identifier: Apache-2.0 */

/* numbers: a forkd module that computes. It preloads nothing and shows arguments, errors of an
 * entry, and loops that can be cancelled. Numbers of any size are arrays of limbs in base 10^9,
 * lowest first. */

#include <forkd-module.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMB_BASE   1000000000u
#define LIMB_DIGITS 9

#define FACTORIAL_MAX 10000
#define PRIMES_MAX    100000000
#define DIGITS_MAX    10000

/* Reads the integer member name within bounds; the sentence of the error names what would work. */
static int read_integer(ForkdCall *call, const json_t *arguments, const char *name, json_int_t min,
                        json_int_t max, json_int_t *ret) {
        const json_t *value = json_object_get(arguments, name);
        double v = json_number_value(value);

        if (!json_is_number(value) || v < (double)min || v > (double)max ||
            v != (double)(json_int_t)v)
                return forkd_call_fail(call, "InvalidArgument",
                                       "'%s' must be an integer from %" JSON_INTEGER_FORMAT
                                       " to %" JSON_INTEGER_FORMAT,
                                       name, min, max);
        *ret = (json_int_t)v;
        return 0;
}

static int cancelled(ForkdCall *call) {
        return forkd_call_cancelled(call)
                       ? forkd_call_fail(call, "Cancelled",
                                         "the call was cancelled, or its time was up")
                       : 0;
}

/* Decimal text of n limbs; the caller frees it. */
static char *limbs_to_text(const uint32_t *limbs, size_t n) {
        char *text = malloc(n * LIMB_DIGITS + 1), *p = text;

        if (!text)
                return NULL;
        p += sprintf(p, "%" PRIu32, limbs[n - 1]);
        for (size_t i = n - 1; i-- > 0;)
                p += sprintf(p, "%09" PRIu32, limbs[i]);
        return text;
}

static int return_text(const char *text, json_t **ret_value) {
        *ret_value = json_pack("{ss}", "value", text);
        return *ret_value ? 0 : -ENOMEM;
}

static int factorial(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        /* 10000! has 35660 digits: 3963 limbs */
        uint32_t limbs[4096] = { 1 };
        size_t n_limbs = 1;
        json_int_t n = 0;
        char *text;
        int r;

        r = read_integer(call, arguments, "n", 0, FACTORIAL_MAX, &n);
        if (r < 0)
                return r;

        for (uint32_t k = 2; k <= (uint32_t)n; k++) {
                uint64_t carry = 0;

                for (size_t i = 0; i < n_limbs; i++) {
                        carry += (uint64_t)limbs[i] * k;
                        limbs[i] = (uint32_t)(carry % LIMB_BASE);
                        carry /= LIMB_BASE;
                }
                if (carry > 0)
                        limbs[n_limbs++] = (uint32_t)carry;
                r = cancelled(call);
                if (r < 0)
                        return r;
        }

        text = limbs_to_text(limbs, n_limbs);
        if (!text)
                return -ENOMEM;
        r = return_text(text, ret_value);
        free(text);
        return r;
}

/* The sieve holds odd numbers only: bit i stands for 2i + 1. */
static int sieve(ForkdCall *call, uint8_t *composite, uint64_t below) {
        for (uint64_t p = 3; p * p < below; p += 2) {
                int r;

                if (composite[p / 16] & (1u << (p / 2 % 8)))
                        continue;
                for (uint64_t k = p * p; k < below; k += 2 * p)
                        composite[k / 16] |= (uint8_t)(1u << (k / 2 % 8));
                r = cancelled(call);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int primes(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t below, count = 0, largest = 0;
        uint8_t *composite;
        int r;

        r = read_integer(call, arguments, "below", 0, PRIMES_MAX, &below);
        if (r < 0)
                return r;
        composite = calloc((size_t)below / 16 + 1, 1);
        if (!composite)
                return -ENOMEM;
        r = sieve(call, composite, (uint64_t)below);
        if (r < 0) {
                free(composite);
                return r;
        }

        if (below > 2) {
                count = 1;
                largest = 2;
        }
        for (json_int_t p = 3; p < below; p += 2)
                if (!(composite[p / 16] & (1u << (p / 2 % 8)))) {
                        count++;
                        largest = p;
                }
        free(composite);

        *ret_value = json_pack("{sI}", "count", count);
        if (!*ret_value)
                return -ENOMEM;
        /* there is no largest below 3, so it is left out */
        return count > 0 ? json_object_set_new(*ret_value, "largest", json_integer(largest)) : 0;
}

/* ---- pi, by Machin: 16 arctan(1/5) - 4 arctan(1/239), in fixed point with the integer part in the
 * last limb */

static bool limbs_divide(uint32_t *to, const uint32_t *from, size_t n, uint32_t divisor) {
        uint64_t rest = 0;
        bool any = false;

        for (size_t i = n; i-- > 0;) {
                rest = rest * LIMB_BASE + from[i];
                to[i] = (uint32_t)(rest / divisor);
                rest %= divisor;
                any = any || to[i] != 0;
        }
        return any;
}

static void limbs_add(uint32_t *sum, const uint32_t *x, size_t n, bool subtract) {
        int64_t carry = 0;

        for (size_t i = 0; i < n; i++) {
                int64_t v = (int64_t)sum[i] + (subtract ? -(int64_t)x[i] : (int64_t)x[i]) + carry;

                carry = v < 0 ? -1 : v >= LIMB_BASE;
                sum[i] = (uint32_t)(v - carry * (int64_t)LIMB_BASE);
        }
}

/* Adds or subtracts factor * arctan(1/x). power and term are scratch. */
static int add_arctan(ForkdCall *call, uint32_t *sum, uint32_t *power, uint32_t *term, size_t n,
                      uint32_t factor, uint32_t x, bool subtract) {
        memset(power, 0, n * sizeof(*power));
        power[n - 1] = factor;
        limbs_divide(power, power, n, x);

        for (uint32_t k = 1;; k += 2) {
                int r;

                limbs_divide(term, power, n, k);
                limbs_add(sum, term, n, subtract == (k % 4 == 1));
                if (!limbs_divide(power, power, n, x * x))
                        return 0;
                r = cancelled(call);
                if (r < 0)
                        return r;
        }
}

static int pi(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        size_t n;
        json_int_t digits = 0;
        uint32_t *limbs;
        char *text = NULL;
        int r;

        r = read_integer(call, arguments, "digits", 1, DIGITS_MAX, &digits);
        if (r < 0)
                return r;
        /* two limbs more than asked for take the rounding errors of all the terms */
        n = (size_t)digits / LIMB_DIGITS + 4;
        limbs = calloc(3 * n, sizeof(*limbs));
        if (!limbs)
                return -ENOMEM;

        r = add_arctan(call, limbs, limbs + n, limbs + 2 * n, n, 16, 5, false);
        if (r == 0)
                r = add_arctan(call, limbs, limbs + n, limbs + 2 * n, n, 4, 239, true);
        if (r == 0) {
                text = limbs_to_text(limbs, n);
                r = text ? 0 : -ENOMEM;
        }
        free(limbs);
        if (r < 0)
                return r;

        /* "3" and the digits behind it: the point goes between */
        memmove(text + 2, text + 1, (size_t)digits);
        text[1] = '.';
        text[2 + digits] = '\0';
        r = return_text(text, ret_value);
        free(text);
        return r;
}

static const ForkdEntry entries[] = {
        { "factorial", factorial, "the factorial of n, exactly, as text", "n:=0…10000" },
        { "primes", primes, "how many primes there are, and the largest", "below:=0…100000000" },
        { "pi", pi, "pi to so many digits behind the point", "digits:=1…10000" },
        { 0 },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "numbers",
        .entries = entries,
};
