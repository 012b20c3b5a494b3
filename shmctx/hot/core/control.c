#include "control.h"

#include <stddef.h>
#include <time.h>

#include "lock.h"
#include "wait.h"

#define RELAXED memory_order_relaxed

static shx_ring *ring_of(PyObject *self) { return &((RingObject *)self)->ring; }
static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, RELAXED); }
static void store(_Atomic uint64_t *word, uint64_t value) { atomic_store_explicit(word, value, RELAXED); }

static uint64_t seconds_to_ns(double seconds) {
    return seconds <= 0 ? 0 : seconds > 1e9 ? UINT64_C(1000000000000000000) : (uint64_t)(seconds * 1e9);
}

static struct timespec deadline_after(uint64_t wait_ns) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t end = (uint64_t)now.tv_nsec + wait_ns;
    return (struct timespec){now.tv_sec + (time_t)(end / 1000000000u), (long)(end % 1000000000u)};
}

static bool may_write(PyObject *self) {
    if (ring_of(self)->writable) return true;
    raise_status(SHX_INVALID, (RingObject *)self);
    return false;
}

PyObject *control_header(PyObject *self, PyObject *none) {
    (void)none;
    const shx_header *header = &((RingObject *)self)->header;
    return Py_BuildValue("{sssssssIsIsKsKsKsKsKsKsKsK}", "name", header->name, "database", header->database, "boot_id",
                         header->boot_id, "store_id", header->store_id, "uid", header->uid, "capacity",
                         header->capacity, "gap_start", header->gap_start, "base", header->base, "generation",
                         header->generation, "created_ns", header->created_ns, "segment_size", header->segment_size,
                         "pid_namespace_device", header->pid_namespace_device, "pid_namespace_inode",
                         header->pid_namespace_inode);
}

/* (reserved, head, drained, tail), in granules */
PyObject *control_positions(PyObject *self, PyObject *none) {
    (void)none;
    const shx_control *control = ring_of(self)->control;
    unsigned long long drained = load(&control->drained), tail = load(&control->tail);
    /* Acquire: a caller that scans up to this head finds the records. */
    unsigned long long head = atomic_load_explicit(&control->writer.head, memory_order_acquire);
    return Py_BuildValue("(KKKK)", (unsigned long long)load(&control->writer.reserved), head, drained, tail);
}

PyObject *control_live(PyObject *self, PyObject *position) {
    unsigned long long number = PyLong_AsUnsignedLongLong(position);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(shx_live(ring_of(self), number));
}

static PyObject *move_position(PyObject *self, PyObject *position, void (*move)(shx_ring *, uint64_t)) {
    unsigned long long number = PyLong_AsUnsignedLongLong(position);
    if (PyErr_Occurred() || !may_write(self)) return NULL;
    move(ring_of(self), number);
    Py_RETURN_NONE;
}

PyObject *control_set_drained(PyObject *self, PyObject *position) {
    return move_position(self, position, shx_set_drained);
}

PyObject *control_set_tail(PyObject *self, PyObject *position) { return move_position(self, position, shx_set_tail); }

/* erase(position) -> whether a record is there, which is without its payload now. */
PyObject *control_erase(PyObject *object, PyObject *position) {
    RingObject *self = (RingObject *)object;
    unsigned long long number = PyLong_AsUnsignedLongLong(position);
    if (PyErr_Occurred() || !may_write(object)) return NULL;
    struct timespec deadline = deadline_after(self->lock_limit_ns);
    shx_status status;
    Py_BEGIN_ALLOW_THREADS
    status = shx_erase(&self->ring, number, &deadline);
    Py_END_ALLOW_THREADS
    if (status == SHX_BUSY || status == SHX_STALLED) return raise_status(status, self);
    return PyBool_FromLong(status == SHX_OK);
}

PyObject *control_place_end(PyObject *self, PyObject *none) {
    (void)none;
    if (!may_write(self)) return NULL;
    shx_place_end(ring_of(self));
    Py_RETURN_NONE;
}

static PyObject *wait_position(PyObject *self, PyObject *args, bool (*wait)(shx_ring *, uint64_t, uint64_t)) {
    unsigned long long seen;
    double seconds;
    bool moved;
    if (!PyArg_ParseTuple(args, "Kd", &seen, &seconds)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    moved = wait(ring_of(self), seen, seconds_to_ns(seconds));
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals() < 0 ? NULL : PyBool_FromLong(moved);
}

/* settle() -> (reserved, head) as they were. On a private copy only: take `head` from the records themselves, so that
 * damaged control words hide nothing. A damaged last record is still covered if the stored head is plausible. */
PyObject *control_settle(PyObject *object, PyObject *none) {
    (void)none;
    RingObject *self = (RingObject *)object;
    shx_writer_line *writer = &self->ring.control->writer;
    if (!self->private_copy) return raise_status(SHX_INVALID, self);
    void *scratch = PyMem_Malloc(SHX_MAX_PAYLOAD);
    if (!scratch) return PyErr_NoMemory();
    uint64_t reserved = load(&writer->reserved), head = load(&writer->head);
    uint64_t end = shx_last_end(&self->ring, scratch);
    PyMem_Free(scratch);
    if (end < self->ring.base) end = self->ring.base;
    bool plausible = head == reserved && head >= end && head - end <= self->ring.capacity / 4;
    store(&writer->head, plausible ? head : end);
    store(&writer->reserved, plausible ? head : end);
    store(&self->ring.control->tail, SHX_FIRST_POSITION);
    return Py_BuildValue("(KK)", (unsigned long long)reserved, (unsigned long long)head);
}

PyObject *control_wait_head(PyObject *self, PyObject *args) { return wait_position(self, args, shx_wait_head); }

PyObject *control_wait_drained(PyObject *self, PyObject *args) { return wait_position(self, args, shx_wait_drained); }

static bool wait_urgent(shx_ring *ring, uint64_t seen, uint64_t timeout_ns) {
    return shx_wait_urgent(ring, (uint32_t)seen, timeout_ns);
}

PyObject *control_wait_urgent(PyObject *self, PyObject *args) { return wait_position(self, args, wait_urgent); }

PyObject *control_request_drain(PyObject *self, PyObject *none) {
    (void)none;
    if (!may_write(self)) return NULL;
    shx_request_drain(ring_of(self));
    Py_RETURN_NONE;
}

PyObject *control_urgent(PyObject *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLong(atomic_load_explicit(&ring_of(self)->control->urgent, RELAXED));
}

PyObject *control_seal(PyObject *self, PyObject *timeout) {
    double seconds = PyFloat_AsDouble(timeout);
    if (PyErr_Occurred()) return NULL;
    struct timespec deadline = deadline_after(seconds_to_ns(seconds < 1 ? 1 : seconds));
    shx_status status;
    Py_BEGIN_ALLOW_THREADS
    status = shx_seal(ring_of(self), &deadline);
    Py_END_ALLOW_THREADS
    return status == SHX_OK ? Py_NewRef(Py_None) : raise_status(status, (RingObject *)self);
}

PyObject *control_state(PyObject *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLong(atomic_load_explicit(&ring_of(self)->control->state, RELAXED));
}

/* The thread id that holds the append lock, 0 if nobody does. */
PyObject *control_holder(PyObject *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLong(shx_lock_holder(ring_of(self)));
}

PyObject *control_set_lock_limit(PyObject *self, PyObject *seconds) {
    double limit = PyFloat_AsDouble(seconds);
    if (PyErr_Occurred()) return NULL;
    ((RingObject *)self)->lock_limit_ns = seconds_to_ns(limit);
    Py_RETURN_NONE;
}

/* set_leader(pid, start, epoch, failover) */
PyObject *control_set_leader(PyObject *self, PyObject *args) {
    unsigned int pid;
    unsigned long long start, epoch;
    int failover;
    if (!PyArg_ParseTuple(args, "IKKp", &pid, &start, &epoch, &failover) || !may_write(self)) return NULL;
    shx_control *control = ring_of(self)->control;
    store(&control->leader_start, start);
    store(&control->epoch, epoch);
    atomic_store_explicit(&control->leader_pid, pid, RELAXED);
    if (failover) atomic_fetch_add_explicit(&control->failovers, 1, RELAXED);
    Py_RETURN_NONE;
}

/* note_drain(time_ns, error): the time of the last commit (0 leaves it), and the last error's text ("" if none). */
PyObject *control_note_drain(PyObject *self, PyObject *args) {
    unsigned long long time_ns;
    const char *text;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Ks#", &time_ns, &text, &length) || !may_write(self)) return NULL;
    shx_control *control = ring_of(self)->control;
    char note[sizeof control->note] = {0};
    /* One byte short, so the text is always terminated. */
    memcpy(note, text, (size_t)length < sizeof note ? (size_t)length : sizeof note - 1);
    for (size_t i = 0; i < sizeof control->note / sizeof *control->note; i++) {
        uint64_t word;
        memcpy(&word, note + i * sizeof word, sizeof word);
        store(&control->note[i], word);
    }
    if (time_ns) store(&control->last_drain_ns, time_ns);
    Py_RETURN_NONE;
}

PyObject *control_leader(PyObject *self, PyObject *none) {
    (void)none;
    const shx_control *control = ring_of(self)->control;
    char note[sizeof control->note + 1] = {0};
    for (size_t i = 0; i < sizeof control->note / sizeof *control->note; i++) {
        uint64_t word = load(&control->note[i]);
        memcpy(note + i * sizeof word, &word, sizeof word);
    }
    PyObject *text = PyUnicode_DecodeUTF8(note, (Py_ssize_t)strlen(note), "replace");
    if (!text) return NULL;
    return Py_BuildValue("{sIsKsKsKsN}", "pid", atomic_load_explicit(&control->leader_pid, RELAXED), "start",
                         (unsigned long long)load(&control->leader_start), "epoch",
                         (unsigned long long)load(&control->epoch), "last_drain_ns",
                         (unsigned long long)load(&control->last_drain_ns), "error", text);
}

/* join(pid, start, role, dead): take a free slot, or one of a process in `dead` (a set of pids). Without a free slot
 * the counters stay private; nothing else depends on it. */
PyObject *control_join(PyObject *self, PyObject *args) {
    unsigned int pid, role;
    unsigned long long start;
    PyObject *dead;
    if (!PyArg_ParseTuple(args, "IKIO", &pid, &start, &role, &dead) || !may_write(self)) return NULL;
    shx_ring *ring = ring_of(self);
    for (unsigned i = 0; i < SHX_PARTICIPANTS; i++) {
        shx_participant *slot = &ring->participants[i];
        uint32_t owner = atomic_load_explicit(&slot->pid, RELAXED);
        if (owner) {
            PyObject *number = PyLong_FromUnsignedLong(owner);
            int is_dead = number ? PySet_Contains(dead, number) : -1;
            Py_XDECREF(number);
            if (is_dead < 0) return NULL;
            if (!is_dead) continue;
        }
        if (!atomic_compare_exchange_strong_explicit(&slot->pid, &owner, pid, RELAXED, RELAXED)) continue;
        for (unsigned c = 0; c < SHX_COUNTERS; c++)
            atomic_fetch_add_explicit(&ring->control->retired[c],
                                      atomic_exchange_explicit(&slot->counter[c], 0, RELAXED), RELAXED);
        atomic_store_explicit(&slot->role, role, RELAXED);
        store(&slot->start, start);
        ring->counters = slot->counter;
        Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

static shx_participant *own_slot(shx_ring *ring) {
    if (ring->counters == ring->private_counters) return NULL;
    return (shx_participant *)((char *)ring->counters - offsetof(shx_participant, counter));
}

/* Give the slot back; its counters stay until the next owner retires them. */
PyObject *control_leave(PyObject *self, PyObject *none) {
    (void)none;
    shx_ring *ring = ring_of(self);
    shx_participant *slot = own_slot(ring);
    ring->counters = ring->private_counters;
    if (slot) atomic_store_explicit(&slot->pid, 0, RELAXED);
    Py_RETURN_NONE;
}

PyObject *control_seen(PyObject *self, PyObject *time_ns) {
    unsigned long long now = PyLong_AsUnsignedLongLong(time_ns);
    if (PyErr_Occurred()) return NULL;
    shx_participant *slot = own_slot(ring_of(self));
    if (slot) store(&slot->last_seen_ns, now);
    Py_RETURN_NONE;
}

static PyObject *counter_list(const _Atomic uint64_t *counters) {
    PyObject *list = PyList_New(SHX_COUNTERS);
    for (Py_ssize_t c = 0; list && c < SHX_COUNTERS; c++) {
        PyObject *number = PyLong_FromUnsignedLongLong(load(&counters[c]));
        if (number) PyList_SET_ITEM(list, c, number);
        else Py_CLEAR(list);
    }
    return list;
}

/* [(pid, start, role, last_seen_ns, [counters])] */
PyObject *control_participants(PyObject *self, PyObject *none) {
    (void)none;
    shx_ring *ring = ring_of(self);
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list && i < SHX_PARTICIPANTS; i++) {
        shx_participant *slot = &ring->participants[i];
        uint32_t pid = atomic_load_explicit(&slot->pid, RELAXED);
        if (!pid) continue;
        PyObject *counters = counter_list(slot->counter);
        PyObject *item = counters ? Py_BuildValue("(IKIKN)", pid, (unsigned long long)load(&slot->start),
                                                  atomic_load_explicit(&slot->role, RELAXED),
                                                  (unsigned long long)load(&slot->last_seen_ns), counters)
                                  : NULL;
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyObject *control_count(PyObject *self, PyObject *args) {
    unsigned int counter;
    unsigned long long amount;
    if (!PyArg_ParseTuple(args, "IK", &counter, &amount)) return NULL;
    if (counter < SHX_COUNTERS) shx_count(ring_of(self), counter, amount);
    Py_RETURN_NONE;
}

/* Totals over all slots, living and retired, plus repairs and failovers. */
PyObject *control_counters(PyObject *self, PyObject *none) {
    (void)none;
    static const char *names[SHX_COUNTERS] = {"puts",   "put_bytes", "hot_hits",    "cold_hits",
                                              "misses", "torn_reads", "space_waits", "lock_waits"};
    shx_ring *ring = ring_of(self);
    PyObject *totals = PyDict_New();
    for (unsigned c = 0; totals && c < SHX_COUNTERS; c++) {
        uint64_t sum = load(&ring->control->retired[c]) + load(&ring->private_counters[c]);
        for (unsigned i = 0; i < SHX_PARTICIPANTS; i++) sum += load(&ring->participants[i].counter[c]);
        PyObject *number = PyLong_FromUnsignedLongLong(sum);
        if (!number || PyDict_SetItemString(totals, names[c], number) < 0) Py_CLEAR(totals);
        Py_XDECREF(number);
    }
    if (!totals) return NULL;
    PyObject *repairs = PyLong_FromUnsignedLongLong(load(&ring->control->repairs));
    PyObject *failovers = PyLong_FromUnsignedLongLong(load(&ring->control->failovers));
    if (!repairs || !failovers || PyDict_SetItemString(totals, "repairs", repairs) < 0 ||
        PyDict_SetItemString(totals, "failovers", failovers) < 0)
        Py_CLEAR(totals);
    Py_XDECREF(repairs);
    Py_XDECREF(failovers);
    return totals;
}
