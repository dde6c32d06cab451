/* The module evenloop._core. Everything it keeps is the interpreter's. */
#include "state.h"
#include "handle.h"
#include "pipe.h"
#include "streams.h"
#include "transport.h"

PyTypeObject *type_make(PyObject *module, const PyType_Spec *spec, PyObject *base)
{
    PyObject *type = PyType_FromModuleAndSpec(module, (PyType_Spec *)spec, base);     /* which only reads it */
    if (!type && !PyErr_Occurred())
        PyErr_NoMemory();       /* some versions forget to say so */
    return (PyTypeObject *)(void *)type;
}

static PyTypeObject *add_type(PyObject *module, const PyType_Spec *spec)
{
    PyTypeObject *type = type_make(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

/* One that evenloop/_streams.py makes a class with. */
static bool add_base(PyObject *module, const PyType_Spec *spec)
{
    PyTypeObject *type = add_type(module, spec);
    Py_XDECREF(type);
    return type != NULL;
}

static bool add_types(PyObject *module, struct state *s)
{
    bool ok = true;
#define ADD(name) ok = ok && (s->name##_type = add_type(module, &even__##name##_spec));
    TYPES(ADD)
#define ADD_BASE(name) ok = ok && add_base(module, &even__##name##_spec);
    BASES(ADD_BASE)
    ok = ok && handle_types_make(module, s) == 0 && transport_type_make(module, s) == 0 && pipe_types_make(module) == 0;
#define PUBLISH(name) ok = ok && PyModule_AddType(module, s->name##_type) == 0;
    DERIVED_TYPES(PUBLISH)
    return ok;
}

static bool take_support(struct state *s)
{
    PyObject *support = PyImport_ImportModule("evenloop._support");
    bool ok = support != NULL;
#define TAKE(name) ok = ok && (s->name = PyObject_GetAttrString(support, #name));
    SUPPORT(TAKE)
    Py_XDECREF(support);
    return ok;
}

/* What is called or asked for often of asyncio's. */
static PyObject *find(const char *module_name, const char *class, const char *attribute)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module ? PyObject_GetAttrString(module, class) : NULL;
    Py_XDECREF(module);
    if (found && attribute)
        Py_SETREF(found, PyObject_GetAttrString(found, attribute));
    return found;
}

static bool take_asyncio(struct state *s)
{
    bool ok = true;
#define FIND(name, module, class, attribute) ok = ok && (s->name = find(module, class, attribute));
    ASYNCIO(FIND)
    return ok;
}

/* The core's memory is Python's, of the domain that needs no interpreter: tracemalloc and debug hooks see it. It is said as the
 * extension is loaded, once for all interpreters of the process and before any of them has a loop. */
__attribute__((constructor)) static void set_allocator(void)
{
    even_set_allocator(PyMem_RawMalloc, PyMem_RawRealloc, PyMem_RawFree);
}

static int module_exec(PyObject *module)
{
    struct state *s = state_of_module(module);
    bool ok = (s->empty_tuple = PyTuple_New(0)) && (s->minus_one = PyLong_FromLong(-1)) &&
              (s->names_loop = Py_BuildValue("(s)", "loop"));
#define INTERN(name, text) ok = ok && (s->str_##name = PyUnicode_InternFromString(text));
    STRINGS(INTERN)
    ok = ok && (s->tasks = find("asyncio.tasks", "__dict__", NULL));
    ok = ok && (s->futures = find("asyncio.futures", "__dict__", NULL));
    ok = ok && take_support(s) && take_asyncio(s) && streams_learn(s) == 0 && add_types(module, s) &&
         (s->loop_time = PyObject_GetAttr((PyObject *)(void *)s->loop_type, s->str_time)) &&
         PyModule_AddStringConstant(module, "version", even_version()) == 0;
    if (!ok && !PyErr_Occurred())
        PyErr_NoMemory();       /* some Pythons make a type without memory, and say nothing */
    return ok ? 0 : -1;
}

/* Every object of the state, once. */
#define EACH_STRING(name, text) EACH(str_##name)
#define EACH_TYPE(name) EACH(name##_type)
#define EACH_FOUND(name, module, class, attribute) EACH(name)
#define STATE                                                                                                          \
    TYPES(EACH_TYPE) DERIVED_TYPES(EACH_TYPE) ASYNCIO(EACH_FOUND) SUPPORT(EACH) STREAMS(EACH) STRINGS(EACH_STRING)     \
    EACH(readers.type) EACH(readers.attributes) EACH(writers.type) EACH(writers.attributes) EACH(protocols.type)       \
    EACH(protocols.attributes) EACH(transports.type) EACH(transports.attributes) EACH(empty_tuple) EACH(minus_one)     \
    EACH(names_loop) EACH(names_context) EACH(loop_time) EACH(tasks) EACH(futures)

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *s = state_of_module(module);
#define EACH(name) Py_VISIT(s->name);
    STATE
#undef EACH
    return spare_calls_traverse(s, visit, arg);
}

static int module_clear(PyObject *module)
{
    struct state *s = state_of_module(module);
    spare_calls_drop(s);
#define EACH(name) Py_CLEAR(s->name);
    STATE
#undef EACH
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
}

static const PyMethodDef functions[] = {
    { "_stream_classes", stream_classes, METH_VARARGS, NULL },
    { 0 },
};

static const PyModuleDef_Slot slots[] = {
    { Py_mod_exec, module_exec },
#if PY_VERSION_HEX >= 0x030C0000
    { Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED },
#endif
    { 0, NULL },
};

PyModuleDef even__module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "evenloop._core",
    .m_doc = "The loop, on the core of libevenloop.",
    .m_size = sizeof(struct state),
    .m_methods = (PyMethodDef *)functions,
    .m_slots = (PyModuleDef_Slot *)slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&even__module);
}
