/* The Ring's methods on the path of a put, a get, a query or a drain. */
#include <time.h>

#include "glue.h"
#include "lock.h"

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct timespec after_ns(uint64_t wait_ns) {
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + wait_ns;
    struct timespec deadline = {(time_t)(end / 1000000000u), (long)(end % 1000000000u)};
    return deadline;
}

static bool as_u64(PyObject *number, uint64_t *value) {
    *value = PyLong_AsUnsignedLongLong(number);
    return *value != UINT64_MAX || !PyErr_Occurred();
}

/* A key is a str (an id somebody brought), an int (a position), `...` (the record's own position) or None. */
static bool set_key(shx_draft *draft, unsigned link, PyObject *key) {
    if (key == Py_None) return true;
    draft->links |= (uint8_t)(1u << link);
    if (key == Py_Ellipsis) {
        draft->self |= (uint8_t)(1u << link);
        return true;
    }
    if (link == SHX_AGENT && !PyUnicode_Check(key)) {
        PyErr_SetString(PyExc_TypeError, "agent_id is text");
        return false;
    }
    if (PyUnicode_Check(key)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(key, &size);
        if (text) draft->tag[link] = shx_tag(link, text, (size_t)size);
        return text != NULL;
    }
    uint64_t position;
    if (!as_u64(key, &position)) return false;
    draft->tag[link] = shx_tag_position(link, position);
    return true;
}

/* args: kind, payload, time_ns (0: now), then a key for each link in the order of enum shx_link */
static bool fill_draft(shx_draft *draft, PyObject *const *args) {
    long kind = PyLong_AsLong(args[0]);
    if (kind == -1 && PyErr_Occurred()) return false;
    if (!PyBytes_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "a payload is bytes");
        return false;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(args[1]);
    draft->kind = (uint8_t)(kind > 0 && kind <= SHX_LAST_KIND ? kind : 0);
    draft->payload = PyBytes_AS_STRING(args[1]);
    draft->size = size > SHX_MAX_PAYLOAD ? SHX_MAX_PAYLOAD + 1 : (uint32_t)size;
    if (!as_u64(args[2], &draft->time_ns)) return false;
    if (!draft->time_ns) draft->time_ns = clock_ns(CLOCK_REALTIME);
    for (unsigned i = 0; i < SHX_LINKS; i++)
        if (!set_key(draft, i, args[3 + i])) return false;
    return true;
}

static shx_status append(RingObject *self, const shx_draft *draft, uint64_t *position) {
    shx_status status = shx_append(&self->ring, draft, NULL, position);
    if (status != SHX_BUSY) return status;
    shx_count(&self->ring, SHX_LOCK_WAITS, 1);
    /* The payload belongs to an argument of this call and outlives it; nothing else here is Python's. */
    struct timespec deadline = after_ns(self->lock_limit_ns);
    Py_BEGIN_ALLOW_THREADS
    status = shx_append(&self->ring, draft, &deadline, position);
    Py_END_ALLOW_THREADS
    return status;
}

PyObject *ring_append(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    RingObject *self = (RingObject *)object;
    shx_draft draft = {0};
    uint64_t position;
    if (count != 8 && count != 9) {
        PyErr_SetString(PyExc_TypeError, "append(kind, payload, time_ns, alias, correlation, agent, session, parent"
                                         "[, target])");
        return NULL;
    }
    if (!fill_draft(&draft, args) || (count == 9 && !as_u64(args[8], &draft.target))) return NULL;
    shx_status status = append(self, &draft, &position);
    if (status != SHX_OK) return raise_status(status, self);
    shx_count(&self->ring, SHX_PUTS, 1);
    shx_count(&self->ring, SHX_PUT_BYTES, draft.size);
    return ref_new(self->ring.store_id, position);
}

PyObject *ring_place(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    RingObject *self = (RingObject *)object;
    shx_draft draft = {0};
    uint64_t position;
    if (count != 10) {
        PyErr_SetString(PyExc_TypeError, "place(kind, payload, time_ns, alias, correlation, agent, session, parent, "
                                         "target, position)");
        return NULL;
    }
    if (!fill_draft(&draft, args) || !as_u64(args[8], &draft.target) || !as_u64(args[9], &position)) return NULL;
    return PyBool_FromLong(shx_place(&self->ring, &draft, position) == SHX_OK);
}

/* The payload of a whole record as new bytes; NULL without an exception where it is not hot. */
static PyObject *take_payload(RingObject *self, const shx_view *view, shx_status *status) {
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)view->size);
    if (!payload) return NULL;
    *status = shx_copy(&self->ring, view, PyBytes_AS_STRING(payload));
    if (*status == SHX_OK) return payload;
    Py_DECREF(payload);
    if (*status == SHX_MISS) shx_count(&self->ring, SHX_TORN, 1);
    return NULL;
}

/* A native ref of this store to a context that is hot and whole, or NULL; an exception only for lack of memory. */
static PyObject *take_context(RingObject *self, PyObject *ref, shx_view *view) {
    uint64_t position;
    if (!ref_of_store(ref, self->ref_prefix, self->ring.store_id, &position)) return NULL;
    __builtin_prefetch(shx_slot(&self->ring, position) + 1);
    shx_status status = shx_look(&self->ring, position, view);
    if (status != SHX_OK || view->kind != SHX_CONTEXT) return NULL;
    return take_payload(self, view, &status);
}

/* The same into a bytes object that is used again and again: nobody but the decoder sees it, and it keeps nothing of
 * it. Away while in use, so that code which a decode may run (a finaliser) gets another one. */
static PyObject *borrow_context(RingObject *self, PyObject *ref, shx_view *view) {
    uint64_t position;
    PyObject *payload = self->scratch;
    if (!payload) return take_context(self, ref, view);
    if (!ref_of_store(ref, self->ref_prefix, self->ring.store_id, &position)) return NULL;
    shx_status status = shx_fetch(&self->ring, position, view, PyBytes_AS_STRING(payload), SCRATCH_ROOM);
    if (status == SHX_TOO_LARGE) return take_context(self, ref, view);
    if (status != SHX_OK || view->kind != SHX_CONTEXT) return NULL;
    PyBytes_AS_STRING(payload)[view->size] = 0;
    Py_SET_SIZE(payload, (Py_ssize_t)view->size);
    self->scratch = NULL;
    return Py_NewRef(payload);
}

static void give_back(RingObject *self, PyObject *payload) {
    if (payload == self->scratch_owned && Py_REFCNT(payload) == 2) self->scratch = payload;
    Py_DECREF(payload);
}

PyObject *ring_read(PyObject *object, PyObject *ref) {
    RingObject *self = (RingObject *)object;
    shx_view view;
    PyObject *payload = take_context(self, ref, &view);
    if (payload)
        shx_count(&self->ring, SHX_HOT_HITS, 1);
    else if (!PyErr_Occurred())
        Py_RETURN_NONE;
    return payload;
}

static void set_slot(PyObject *context, Py_ssize_t offset, PyObject *value) {
    PyObject **slot = (PyObject **)((char *)context + offset);
    PyObject *former = *slot;
    *slot = value;
    Py_XDECREF(former);
}

/* A Context is frozen, and its ref and time are not in its payload: they are set here, before anybody else has seen the
 * object. */
static PyObject *decode_context(RingObject *self, PyObject *payload, PyObject *ref, uint64_t time_ns) {
    PyObject *decode = Py_NewRef(self->decode); /* a close() in another thread may unbind meanwhile */
    PyObject *context = PyObject_CallOneArg(decode, payload);
    Py_DECREF(decode);
    if (!context) return NULL;
    PyObject *time = Py_TYPE(context) == self->context ? PyLong_FromUnsignedLongLong(time_ns) : NULL;
    if (!time) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "decode returned something else than a context");
        Py_DECREF(context);
        return NULL;
    }
    set_slot(context, self->ref_offset, Py_NewRef(ref));
    set_slot(context, self->time_offset, time);
    return context;
}

PyObject *ring_get(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    RingObject *self = (RingObject *)object;
    if (count != 1 && count != 2) {
        PyErr_SetString(PyExc_TypeError, "get(ref, default=None)");
        return NULL;
    }
    if (!self->decode) return raise_closed();
    shx_view view;
    PyObject *payload = borrow_context(self, args[0], &view);
    if (payload) {
        bool plain = !view.annotated && !shx_sealed(&self->ring);
        PyObject *context = plain ? decode_context(self, payload, args[0], view.time_ns) : NULL;
        give_back(self, payload);
        if (context) {
            shx_count(&self->ring, SHX_HOT_HITS, 1);
            return context;
        }
    }
    if (PyErr_Occurred()) {
        /* Bytes that pass their checksum and are no context: the cold side may still know the ref. */
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) return NULL;
        PyErr_Clear();
    }
    PyObject *miss[2] = {args[0], count == 2 ? args[1] : Py_None};
    if (!self->miss) return raise_closed();
    PyObject *ask = Py_NewRef(self->miss);
    PyObject *found = PyObject_Vectorcall(ask, miss, 2, NULL);
    Py_DECREF(ask);
    return found;
}

static PyObject *record_tuple(const shx_view *view, PyObject *payload) {
    return Py_BuildValue("(KiOKN)", (unsigned long long)view->position, (int)view->kind,
                         view->annotated ? Py_True : Py_False, (unsigned long long)view->time_ns, payload);
}

PyObject *ring_record(PyObject *object, PyObject *number) {
    RingObject *self = (RingObject *)object;
    uint64_t position;
    if (!as_u64(number, &position)) return NULL;
    shx_view view;
    shx_status status = shx_look(&self->ring, position, &view);
    PyObject *payload = status == SHX_OK && view.kind != SHX_PADDING ? take_payload(self, &view, &status) : NULL;
    if (payload) return record_tuple(&view, payload);
    if (PyErr_Occurred()) return NULL;
    if (status == SHX_DAMAGED) return raise_status(status, self);
    Py_RETURN_NONE;
}

typedef struct {
    uint64_t position, stop, bytes_left;
    Py_ssize_t records_left;
    PyObject *records, *skipped;
} scan_state;

static bool append_new(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return !failed;
}

/* One step of a scan: a record, padding, or a stretch without whole records. False on a Python error. */
static bool scan_step(RingObject *self, scan_state *state) {
    shx_view view;
    shx_status status = shx_look(&self->ring, state->position, &view);
    PyObject *payload = NULL;
    if (status == SHX_OK) payload = take_payload(self, &view, &status);
    if (!payload && PyErr_Occurred()) return false;
    if (status == SHX_ERASED) {
        state->position += view.granules;
        return true;
    }
    if (status == SHX_OK) {
        state->position += view.granules;
        if (view.kind == SHX_PADDING) {
            Py_DECREF(payload);
            return true;
        }
        state->records_left--;
        state->bytes_left -= view.size < state->bytes_left ? view.size : state->bytes_left;
        return append_new(state->records, record_tuple(&view, payload));
    }
    void *scratch = PyMem_Malloc(SHX_MAX_PAYLOAD);
    if (!scratch) return PyErr_NoMemory() != NULL;
    uint64_t from = state->position;
    uint64_t next = shx_resync(&self->ring, from + 1, scratch);
    /* `head` may have shrunk in a damaged segment: always forwards, so that a scan ends. */
    state->position = next > from && next < state->stop ? next : state->stop;
    PyMem_Free(scratch);
    return append_new(state->skipped, Py_BuildValue("(KK)", (unsigned long long)from,
                                                    (unsigned long long)state->position));
}

PyObject *ring_scan(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    RingObject *self = (RingObject *)object;
    scan_state state = {0};
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "scan(position, stop, max_records, max_bytes)");
        return NULL;
    }
    if (!as_u64(args[0], &state.position) || !as_u64(args[1], &state.stop) || !as_u64(args[3], &state.bytes_left))
        return NULL;
    state.records_left = PyLong_AsSsize_t(args[2]);
    if (state.records_left == -1 && PyErr_Occurred()) return NULL;
    state.records = PyList_New(0);
    state.skipped = PyList_New(0);
    bool fine = state.records && state.skipped;
    state.position = shx_after(&self->ring, state.position);
    while (fine && state.position < state.stop && state.records_left > 0 && state.bytes_left > 0) {
        fine = scan_step(self, &state);
        state.position = shx_after(&self->ring, state.position);
    }
    if (fine) return Py_BuildValue("(KNN)", (unsigned long long)state.position, state.records, state.skipped);
    Py_XDECREF(state.records);
    Py_XDECREF(state.skipped);
    return NULL;
}

/* raw(start, stop): the bytes there as they are, whole or not, up to the ring's end and SHX_MAX_PAYLOAD. */
PyObject *ring_raw(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    shx_ring *ring = &((RingObject *)object)->ring;
    uint64_t start, stop;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "raw(start, stop)");
        return NULL;
    }
    if (!as_u64(args[0], &start) || !as_u64(args[1], &stop)) return NULL;
    uint64_t granules = ring->capacity - (start & (ring->capacity - 1));
    if (granules > SHX_MAX_PAYLOAD / SHX_GRANULE) granules = SHX_MAX_PAYLOAD / SHX_GRANULE;
    if (stop < start || stop - start < granules) granules = stop < start ? 0 : stop - start;
    PyObject *raw = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(granules * SHX_GRANULE));
    if (!raw) return NULL;
    const _Atomic uint64_t *words = (const _Atomic uint64_t *)shx_slot(ring, start);
    char *out = PyBytes_AS_STRING(raw);
    for (uint64_t i = 0; i < granules * SHX_WORDS; i++, out += sizeof(uint64_t)) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        memcpy(out, &word, sizeof word);
    }
    return raw;
}

PyObject *ring_find(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    RingObject *self = (RingObject *)object;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "find(link, key, since, limit)");
        return NULL;
    }
    long link = PyLong_AsLong(args[0]);
    uint64_t since, position;
    Py_ssize_t limit = PyLong_AsSsize_t(args[3]);
    shx_draft key = {0};
    if (PyErr_Occurred() || !as_u64(args[2], &since)) return NULL;
    if (link < 0 || link >= (long)SHX_LINKS || args[1] == Py_None || args[1] == Py_Ellipsis) {
        PyErr_SetString(PyExc_ValueError, "find needs a link from 0 to 4 and a key");
        return NULL;
    }
    if (!set_key(&key, (unsigned)link, args[1])) return NULL;
    PyObject *found = PyList_New(0);
    shx_walk walk;
    shx_walk_start(&self->ring, &walk, link == SHX_ALIAS, key.tag[link]);
    while (found && limit > 0 && shx_walk_next(&self->ring, &walk, &position) == SHX_OK) {
        if (position < since) break; /* chains run backwards */
        limit--;
        if (!append_new(found, PyLong_FromUnsignedLongLong(position))) Py_CLEAR(found);
    }
    return found;
}
