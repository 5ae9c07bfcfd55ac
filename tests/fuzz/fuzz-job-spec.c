/* SPDX-License-Identifier: Apache-2.0 */

/* Job specifications: any JSON object is read or refused with a field and a sentence; what was read
 * is dumped, read again and the same. */

#include "job-spec.h"

#define N_FDS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const JobSpecError *error) {
        json_t *field = json_string(error->field), *sentence = json_string(error->sentence);

        /* both travel as JSON, so they are UTF-8 */
        if (!field || !sentence || error->sentence[0] == '\0')
                abort();
        json_decref(field);
        json_decref(sentence);
}

static void check_round_trip(const JobSpec *spec) {
        JobSpec *again = NULL;
        json_t *dump = job_spec_dump(spec, true);

        if (!dump || job_spec_parse(dump, NULL, 0, N_FDS, &again, NULL) != 0 ||
            !job_spec_equal(spec, again))
                abort();
        json_decref(dump);
        job_spec_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
        JobSpecError error = { 0 };
        JobSpec *spec = NULL;
        int r;

        if (!object)
                return 0;
        r = job_spec_parse(object, NULL, 0, N_FDS, &spec, &error);
        if (r == 0)
                check_round_trip(spec);
        else if (r == JOB_SPEC_E_INVALID && !spec)
                check_refusal(&error);
        else
                abort();
        job_spec_free(spec);
        json_decref(object);
        return 0;
}
