/* What the two halves of the Python glue share: module.c (types, errors, keys) and access.c (the hot methods). */
#ifndef SHX_GLUE_H
#define SHX_GLUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ring.h"

#ifdef Py_GIL_DISABLED
#error "the glue relies on the interpreter lock: build for a CPython that has one"
#endif

#define REF_LENGTH 20

typedef struct {
    PyObject_HEAD
    shx_ring ring;
    shx_header header;
    void *map;
    size_t map_size;
    bool private_copy;       /* map came from PyMem, not mmap: a recovery's copy */
    uint64_t lock_limit_ns;  /* how long an append waits for the lock */
    PyObject *decode;        /* payload -> Context */
    PyObject *ref_slot;      /* Context.ref and Context.time_ns: set after decoding, they are not in the payload */
    PyObject *time_slot;
    PyObject *miss;          /* (ref, default) -> Context: the way to the cold side */
} RingObject;

/* refs.c */
void ref_format(uint32_t store_id, uint64_t position, char *out);
bool ref_parse(PyObject *ref, uint32_t *store_id, uint64_t *position);
PyObject *ref_new(uint32_t store_id, uint64_t position);

/* module.c */
PyObject *raise_status(shx_status status, const RingObject *self);

/* access.c */
PyObject *ring_append(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_read(PyObject *self, PyObject *ref);
PyObject *ring_get(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_record(PyObject *self, PyObject *position);
PyObject *ring_scan(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_raw(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_find(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ring_place(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
