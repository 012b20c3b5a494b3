/* The extension module shmctx.hot._core: the Ring type, errors, and what is not on a hot path. */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "glue.h"
#include "control.h"
#include "lock.h"
#include "structmember.h"

typedef struct {
    shx_status status;
    const char *error; /* a class of shmctx.errors */
    const char *message;
} status_error;

static const status_error STATUS_ERRORS[] = {
    {SHX_MISS, "ContextNotFound", "No record is in the ring at that position."},
    {SHX_DAMAGED, "RecordDamaged", "The record's checksum is wrong: some process wrote into the segment."},
    {SHX_FULL, "RingFull", "The ring is full of records that are not in the database yet; nothing was stored."},
    {SHX_TOO_LARGE, "PayloadTooLarge",
     "The record is larger than a quarter of the ring or than 16 MiB; nothing was stored."},
    {SHX_BUSY, "WriterStalled", "The append lock is busy; nothing was stored."},
    {SHX_STALLED, "WriterStalled", "The append lock was not free in time; nothing was stored."},
    {SHX_CORRUPT, "SegmentCorrupt",
     "The segment's control words contradict each other; nothing was stored, and the database is intact."},
    {SHX_SEALED_OFF, "SegmentSealed", "This generation of the segment takes no more puts; nothing was stored."},
    {SHX_INVALID, "ReadOnly", "The segment is read-only here, or the record's kind is unknown; nothing was stored."},
};

static PyObject *error_classes; /* the module shmctx.errors */

static PyObject *raise_named(const char *name, const char *message) {
    PyObject *type = PyObject_GetAttrString(error_classes, name);
    if (type) PyErr_SetString(type, message);
    Py_XDECREF(type);
    return NULL;
}

PyObject *raise_closed(void) { return raise_named("StoreClosed", "The store was closed in this process."); }

PyObject *raise_status(shx_status status, const RingObject *self) {
    (void)self;
    for (size_t i = 0; i < sizeof STATUS_ERRORS / sizeof *STATUS_ERRORS; i++)
        if (STATUS_ERRORS[i].status == status) return raise_named(STATUS_ERRORS[i].error, STATUS_ERRORS[i].message);
    return PyErr_Format(PyExc_SystemError, "status %d has no error class", (int)status);
}

static bool header_accepted(const shx_header *header, uint64_t file_size) {
    switch (shx_check_header(header, file_size)) {
    case SHX_HEADER_OK:
        return true;
    case SHX_NOT_A_SEGMENT:
        raise_named("SegmentCorrupt", "This is no shmctx segment: its first bytes are not the magic number.");
        break;
    case SHX_OTHER_LAYOUT:
        raise_named("SegmentMismatch", "The segment was made by another version of shmctx, with another layout.");
        break;
    case SHX_OTHER_ABI:
        raise_named("SegmentMismatch", "The segment was made by another build: C library, word size or page size.");
        break;
    case SHX_BAD_CHECKSUM:
        raise_named("SegmentCorrupt", "The segment's header does not match its checksum.");
        break;
    case SHX_BAD_GEOMETRY:
        raise_named("SegmentCorrupt", "The segment's size or geometry is not what its header says.");
        break;
    }
    return false;
}

/* ---- life of a Ring ---- */

static RingObject *ring_alloc(PyTypeObject *type) {
    RingObject *self = (RingObject *)type->tp_alloc(type, 0);
    if (self) self->lock_limit_ns = 5000000000u;
    return self;
}

static bool read_header(int fd, shx_header *header, uint64_t *file_size) {
    struct stat facts;
    if (fstat(fd, &facts) < 0) return PyErr_SetFromErrno(PyExc_OSError) != NULL;
    *file_size = (uint64_t)facts.st_size;
    ssize_t got = pread(fd, header, sizeof *header, 0);
    if (got < 0) return PyErr_SetFromErrno(PyExc_OSError) != NULL;
    if ((size_t)got < sizeof *header) *file_size = 0;
    return header_accepted(header, *file_size);
}

/* Ring(fd, writable): maps a segment whose header passes every check. The descriptor stays the caller's. */
static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "writable", NULL};
    int fd, writable = 1;
    shx_header header;
    uint64_t size = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|p", names, &fd, &writable)) return NULL;
    if (!read_header(fd, &header, &size)) return NULL;
    void *map = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
    madvise(map, size, MADV_DONTDUMP); /* contexts do not belong in core files */
    RingObject *self = ring_alloc(type);
    if (!self) {
        munmap(map, size);
        return NULL;
    }
    self->map = map;
    self->map_size = size;
    self->header = header;
    ref_prefix(header.store_id, self->ref_prefix);
    shx_open(&self->ring, map, &header, writable);
    return (PyObject *)self;
}

/* from_bytes(buffer): a private, read-only copy, for recovery: a segment that shrinks under it is no SIGBUS. */
static PyObject *ring_from_bytes(PyObject *type, PyObject *source) {
    Py_buffer view;
    if (PyObject_GetBuffer(source, &view, PyBUF_SIMPLE) < 0) return NULL;
    shx_header header = {0};
    memcpy(&header, view.buf, (size_t)view.len < sizeof header ? (size_t)view.len : sizeof header);
    void *copy = NULL;
    RingObject *self = NULL;
    if (header_accepted(&header, (uint64_t)view.len)) {
        if (posix_memalign(&copy, SHX_PAGE, (size_t)view.len) != 0) copy = NULL;
        self = copy ? ring_alloc((PyTypeObject *)type) : (RingObject *)PyErr_NoMemory();
    }
    if (self) {
        memcpy(copy, view.buf, (size_t)view.len);
        self->map = copy;
        self->map_size = (size_t)view.len;
        self->private_copy = true;
        self->header = header;
        ref_prefix(header.store_id, self->ref_prefix);
        shx_open(&self->ring, copy, &header, false);
    } else {
        free(copy);
    }
    PyBuffer_Release(&view);
    return (PyObject *)self;
}

static int ring_traverse(PyObject *object, visitproc visit, void *arg) {
    RingObject *self = (RingObject *)object;
    Py_VISIT(self->decode);
    Py_VISIT(self->context);
    Py_VISIT(self->miss);
    return 0;
}

static int ring_clear(PyObject *object) {
    RingObject *self = (RingObject *)object;
    Py_CLEAR(self->decode);
    Py_CLEAR(self->context);
    self->scratch = NULL;
    Py_CLEAR(self->scratch_owned);
    Py_CLEAR(self->miss);
    return 0;
}

/* Unmapping happens here and nowhere else: a call that is inside the lock holds a reference to the Ring, so no thread
 * of this process can be in an unlock (glibc bug 14485: the kernel may still write to the mutex's address). */
static void ring_dealloc(PyObject *object) {
    RingObject *self = (RingObject *)object;
    PyObject_GC_UnTrack(object);
    ring_clear(object);
    if (self->map && self->private_copy) free(self->map);
    else if (self->map) munmap(self->map, self->map_size);
    Py_TYPE(object)->tp_free(object);
}

/* Where a slot of `type` lies in its objects; -1 with an exception if `slot` is none that holds any object. */
static Py_ssize_t slot_offset(PyTypeObject *type, PyObject *slot) {
    if (Py_TYPE(slot) == &PyMemberDescr_Type && PyDescr_TYPE(slot) == type) {
        const PyMemberDef *member = ((PyMemberDescrObject *)slot)->d_member;
        if (member->type == T_OBJECT_EX || member->type == T_OBJECT) return member->offset;
    }
    PyErr_SetString(PyExc_TypeError, "a slot is a member descriptor of the context's own type");
    return -1;
}

/* bind(decode, type, ref_slot, time_slot, miss): what get() needs to make a Context, and where it asks without one. */
static PyObject *ring_bind(PyObject *object, PyObject *args) {
    RingObject *self = (RingObject *)object;
    PyObject *decode, *type, *ref_slot, *time_slot, *miss;
    if (!PyArg_ParseTuple(args, "OO!OOO", &decode, &PyType_Type, &type, &ref_slot, &time_slot, &miss)) return NULL;
    Py_ssize_t ref_offset = slot_offset((PyTypeObject *)type, ref_slot);
    Py_ssize_t time_offset = slot_offset((PyTypeObject *)type, time_slot);
    if (ref_offset < 0 || time_offset < 0) return NULL;
    PyObject *scratch = PyBytes_FromStringAndSize(NULL, SCRATCH_ROOM);
    if (!scratch) return NULL;
    ring_clear(object);
    self->scratch = self->scratch_owned = scratch;
    self->decode = Py_NewRef(decode);
    self->context = (PyTypeObject *)Py_NewRef(type);
    self->miss = Py_NewRef(miss);
    self->ref_offset = ref_offset;
    self->time_offset = time_offset;
    Py_RETURN_NONE;
}

/* unbind(): forget what bind() was given, so that a closed store is no cycle. */
static PyObject *ring_unbind(PyObject *object, PyObject *none) {
    (void)none;
    ring_clear(object);
    Py_RETURN_NONE;
}

/* ---- module functions ---- */

static PyObject *core_segment_size(PyObject *module, PyObject *capacity) {
    (void)module;
    uint64_t granules = PyLong_AsUnsignedLongLong(capacity);
    if (PyErr_Occurred()) return NULL;
    if (granules < SHX_MIN_CAPACITY || granules > SHX_MAX_CAPACITY || (granules & (granules - 1)))
        return PyErr_Format(PyExc_ValueError, "a capacity is a power of two from %llu to %llu granules",
                            (unsigned long long)SHX_MIN_CAPACITY, (unsigned long long)SHX_MAX_CAPACITY);
    return PyLong_FromUnsignedLongLong(shx_segment_size(granules));
}

/* Fill a zeroed file of segment_size(capacity) bytes. */
static PyObject *core_format(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"fd", "name", "database", "boot_id", "store_id", "uid", "capacity", "gap_start", "base",
                            "generation", "created_ns", "pid_namespace_device", "pid_namespace_inode", NULL};
    int fd;
    const char *name, *database, *boot_id;
    shx_header header = {0};
    unsigned long long words[7];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "isssIIKKKKKKK", names, &fd, &name, &database, &boot_id,
                                     &header.store_id, &header.uid, &words[0], &words[1], &words[2], &words[3],
                                     &words[4], &words[5], &words[6]))
        return NULL;
    if (strlen(name) >= sizeof header.name || strlen(database) >= sizeof header.database ||
        strlen(boot_id) >= sizeof header.boot_id)
        return PyErr_Format(PyExc_ValueError, "name, database path or boot id is too long for the segment's header");
    strcpy(header.name, name);
    strcpy(header.database, database);
    strcpy(header.boot_id, boot_id);
    header.capacity = words[0];
    header.gap_start = words[1];
    header.base = words[2];
    header.generation = words[3];
    header.created_ns = words[4];
    header.pid_namespace_device = words[5];
    header.pid_namespace_inode = words[6];
    size_t size = shx_segment_size(header.capacity);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
    int error = shx_format(map, &header);
    munmap(map, size);
    errno = error;
    return error ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}

static PyObject *core_make_ref(PyObject *module, PyObject *args) {
    (void)module;
    unsigned int store_id;
    unsigned long long position;
    if (!PyArg_ParseTuple(args, "IK", &store_id, &position)) return NULL;
    if (store_id >> 24 || position > SHX_POSITION_MASK) {
        PyErr_SetString(PyExc_OverflowError, "a store id has 24 bits and a position 56");
        return NULL;
    }
    return ref_new(store_id, position);
}

/* parse_ref(text) -> (store id, position), or None where it is no native ref. */
static PyObject *core_parse_ref(PyObject *module, PyObject *ref) {
    (void)module;
    uint32_t store_id;
    uint64_t position;
    if (!ref_parse(ref, &store_id, &position)) Py_RETURN_NONE;
    return Py_BuildValue("(IK)", store_id, (unsigned long long)position);
}

static PyMethodDef RING_METHODS[] = {
    {"append", (PyCFunction)(void (*)(void))ring_append, METH_FASTCALL, NULL},
    {"place", (PyCFunction)(void (*)(void))ring_place, METH_FASTCALL, NULL},
    {"read", ring_read, METH_O, NULL},
    {"get", (PyCFunction)(void (*)(void))ring_get, METH_FASTCALL, NULL},
    {"record", ring_record, METH_O, NULL},
    {"scan", (PyCFunction)(void (*)(void))ring_scan, METH_FASTCALL, NULL},
    {"raw", (PyCFunction)(void (*)(void))ring_raw, METH_FASTCALL, NULL},
    {"find", (PyCFunction)(void (*)(void))ring_find, METH_FASTCALL, NULL},
    {"bind", ring_bind, METH_VARARGS, NULL},
    {"unbind", ring_unbind, METH_NOARGS, NULL},
    {"from_bytes", ring_from_bytes, METH_O | METH_CLASS, NULL},
    CONTROL_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyTypeObject RingType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "shmctx.hot._core.Ring",
    .tp_basicsize = sizeof(RingObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "One process's mapping of a segment.",
    .tp_new = ring_new,
    .tp_dealloc = ring_dealloc,
    .tp_traverse = ring_traverse,
    .tp_clear = ring_clear,
    .tp_methods = RING_METHODS,
};

static PyMethodDef CORE_METHODS[] = {
    {"segment_size", core_segment_size, METH_O, NULL},
    {"format", (PyCFunction)(void (*)(void))core_format, METH_VARARGS | METH_KEYWORDS, NULL},
    {"make_ref", core_make_ref, METH_VARARGS, NULL},
    {"parse_ref", core_parse_ref, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef CORE_MODULE = {
    PyModuleDef_HEAD_INIT, "shmctx.hot._core", "The shared-memory core.", -1, CORE_METHODS, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__core(void) {
    ref_prepare();
    error_classes = PyImport_ImportModule("shmctx.errors");
    if (!error_classes || PyType_Ready(&RingType) < 0) return NULL;
    PyObject *module = PyModule_Create(&CORE_MODULE);
    if (!module) return NULL;
    int failed = PyModule_AddObjectRef(module, "Ring", (PyObject *)&RingType);
    static const struct {
        const char *name;
        long value;
    } numbers[] = {
        {"GRANULE", SHX_GRANULE},           {"CONTEXT", SHX_CONTEXT},         {"SESSION", SHX_SESSION},
        {"ANNOTATION", SHX_ANNOTATION},     {"PAYLOAD", SHX_PAYLOAD},         {"MARK", SHX_MARK},
        {"ALIAS_LINK", SHX_ALIAS},        {"CORRELATION_LINK", SHX_CORRELATION},
        {"AGENT_LINK", SHX_AGENT},          {"SESSION_LINK", SHX_SESSION_ID}, {"PARENT_LINK", SHX_PARENT},
        {"COLD_HITS", SHX_COLD_HITS},       {"MISSES", SHX_MISSES},           {"SPACE_WAITS", SHX_SPACE_WAITS},
        {"MIN_CAPACITY", SHX_MIN_CAPACITY}, {"HEADER_SIZE", SHX_PAGE},        {"FIRST_POSITION", SHX_FIRST_POSITION},
        {"POISONED", SHX_POISONED},         {"SEALED", SHX_SEALED},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        failed |= PyModule_AddIntConstant(module, numbers[i].name, numbers[i].value);
    if (!failed) return module;
    Py_DECREF(module);
    return NULL;
}
