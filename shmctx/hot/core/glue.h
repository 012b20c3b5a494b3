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
#define SCRATCH_ROOM 512 /* bytes */
#define REF_PREFIX 8 /* characters that all refs of a store share */

typedef struct {
    PyObject_HEAD
    shx_ring ring;
    shx_header header;
    void *map;
    size_t map_size;
    bool private_copy;       /* map came from PyMem, not mmap: a recovery's copy */
    uint64_t lock_limit_ns;  /* how long an append waits for the lock */
    char ref_prefix[REF_PREFIX];
    PyObject *decode;        /* payload -> Context */
    PyTypeObject *context;   /* what decode returns */
    Py_ssize_t ref_offset;   /* of Context.ref and Context.time_ns in the object: they are not in the payload */
    Py_ssize_t time_offset;
    PyObject *scratch_owned; /* a bytes object for payloads on their way to decode ... */
    PyObject *scratch;       /* ... and whether it is free: the same object, or NULL while in use */
    PyObject *miss;          /* (ref, default) -> Context: the way to the cold side */
} RingObject;

/* refs.c */
void ref_prepare(void);
void ref_prefix(uint32_t store_id, char *out);
/* The position in a ref of this very store; quicker than parsing the store's id. */
bool ref_of_store(PyObject *ref, const char *prefix, uint32_t store_id, uint64_t *position);
bool ref_parse(PyObject *ref, uint32_t *store_id, uint64_t *position);
PyObject *ref_new(uint32_t store_id, uint64_t position);

/* module.c */
PyObject *raise_closed(void);
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
