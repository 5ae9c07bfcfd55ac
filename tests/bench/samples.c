/* SPDX-License-Identifier: Apache-2.0 */
/* Samples are the measurements of one lane, one a round, and their medians. Owned by the
 * benchmark's table; lives in the benchmark. */

#include "bench.h"

void samples_add(Samples *samples, double usec) {
        if (samples->n < SAMPLES_MAX)
                samples->usec[samples->n++] = usec;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static double median(double *values, size_t n) {
        if (n == 0)
                return 0;
        qsort(values, n, sizeof(*values), compare);
        return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double samples_median(const Samples *samples) {
        Samples copy = *samples;

        return median(copy.usec, copy.n);
}

double samples_quantile(const Samples *samples, double part) {
        Samples copy = *samples;
        double wanted = (double)copy.n * part;
        size_t rank = (size_t)wanted;

        if (copy.n == 0)
                return 0;
        if ((double)rank < wanted || rank == 0)
                rank++;
        qsort(copy.usec, copy.n, sizeof(*copy.usec), compare);
        return copy.usec[rank - 1];
}

double samples_ratio(const Samples *a, const Samples *b) {
        Samples ratios = { 0 };

        for (size_t i = 0; i < a->n && i < b->n; i++)
                if (b->usec[i] > 0)
                        samples_add(&ratios, a->usec[i] / b->usec[i]);
        return median(ratios.usec, ratios.n);
}
