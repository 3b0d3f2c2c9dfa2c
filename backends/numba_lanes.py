"""Formulas on numbers and on vectors of them, emitted as LLVM instructions, and pointers into arrays.

A formula is an ordinary Python function of `Lanes`. It is run once, while a kernel is compiled, and each operator adds
one instruction. So the same text gives one number or a whole vector register, whatever the loop around it looks like,
and LLVM has little left to analyse: compiling costs a fraction of what numba's arrays and vectorised loops cost.

Operations may be contracted (a product and a sum become one FMA) and are never reordered.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

CONTRACT = ("contract",)
INT32, INT64 = ir.IntType(32), ir.IntType(64)


def register_bytes():
    """Return the size of a vector register of the processor that numba compiles for."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return 64 if "+avx512f" in features else 32 if "+avx" in features else 16


def lanes_of(real):
    """Return how many numbers of an LLVM type fill a vector register; at least 4, by two registers if need be."""
    return max(4, register_bytes() // (8 if isinstance(real, ir.DoubleType) else 4))


class Lanes:
    """A number or a vector of numbers in the code being emitted."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    @property
    def type(self):
        """Its LLVM type."""
        return self.value.type

    @property
    def element(self):
        """The LLVM type of one of its numbers."""
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    def like(self, number):
        """Return a constant of the same type; `Lanes` pass through."""
        if isinstance(number, Lanes):
            return number
        vector = isinstance(self.type, ir.VectorType)
        return Lanes(self.builder, ir.Constant(self.type, [number] * self.type.count if vector else number))

    def __add__(self, other):
        if isinstance(self.element, ir.IntType):
            return Lanes(self.builder, self.builder.add(self.value, self.like(other).value))
        return Lanes(self.builder, self.builder.fadd(self.value, self.like(other).value, flags=CONTRACT))

    def __sub__(self, other):
        return Lanes(self.builder, self.builder.fsub(self.value, self.like(other).value, flags=CONTRACT))

    def __mul__(self, other):
        return Lanes(self.builder, self.builder.fmul(self.value, self.like(other).value, flags=CONTRACT))

    def __truediv__(self, other):
        return Lanes(self.builder, self.builder.fdiv(self.value, self.like(other).value, flags=CONTRACT))

    def __rsub__(self, other):
        return self.like(other) - self

    def __rtruediv__(self, other):
        return self.like(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def root(self):
        """Return the square root, rounded once."""
        width = self.type.count if isinstance(self.type, ir.VectorType) else 0
        bits = 64 if isinstance(self.element, ir.DoubleType) else 32
        name = f"llvm.sqrt.{f'v{width}' if width else ''}f{bits}"
        kind = ir.FunctionType(self.type, [self.type])
        return Lanes(
            self.builder,
            self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [self.value]),
        )

    def at_most(self, bound):
        """Return the lesser of this and ``bound``; NaN stays NaN."""
        return self._choose(">", bound, bound, self)

    def at_least(self, bound):
        """Return the greater of this and ``bound``; NaN stays NaN."""
        return self._choose("<", bound, bound, self)

    def above(self, bound, yes, no):
        """Return ``yes`` if this is greater than ``bound``, else ``no``."""
        return self._choose(">", bound, yes, no)

    def below(self, bound, yes, no):
        """Return ``yes`` if this is less than ``bound``, else ``no``."""
        return self._choose("<", bound, yes, no)

    def _choose(self, comparison, bound, yes, no):
        chosen = self.builder.fcmp_ordered(comparison, self.value, self.like(bound).value)
        return Lanes(self.builder, self.builder.select(chosen, self.like(yes).value, self.like(no).value))

    def subnormal_towards_zero(self):
        """Return the same number, or the next one towards zero if it is subnormal."""
        width, digits = (64, 52) if isinstance(self.element, ir.DoubleType) else (32, 23)
        bits = self.bits()
        below = (bits & (1 << width - 1) - 1) + -1  # one less than the magnitude; unsigned, so that zero is the largest
        subnormal = self.builder.icmp_unsigned("<", below.value, bits.like((1 << digits) - 1).value)
        return Lanes(self.builder, self.builder.sub(bits.value, self.builder.zext(subnormal, bits.type))).real()

    def bits(self):
        """Return the same bits as integers."""
        return self._as(ir.IntType(64 if isinstance(self.element, ir.DoubleType) else 32))

    def real(self):
        """Return the same bits as floating-point numbers."""
        return self._as(ir.DoubleType() if self.element.width == 64 else ir.FloatType())

    def _as(self, element):
        vector = isinstance(self.type, ir.VectorType)
        target = ir.VectorType(element, self.type.count) if vector else element
        return Lanes(self.builder, self.builder.bitcast(self.value, target))

    def __lshift__(self, count):
        return Lanes(self.builder, self.builder.shl(self.value, self.like(count).value))

    def __and__(self, mask):
        return Lanes(self.builder, self.builder.and_(self.value, self.like(mask).value))

    def __or__(self, other):
        return Lanes(self.builder, self.builder.or_(self.value, self.like(other).value))


def load(builder, pointer, lanes):
    """Emit a load of a vector from anywhere in an array."""
    real = pointer.type.pointee
    vector = ir.VectorType(real, lanes).as_pointer()
    return builder.load(builder.bitcast(pointer, vector), align=8 if isinstance(real, ir.DoubleType) else 4)


def store(builder, vector, pointer):
    """Emit a store of a vector to anywhere in an array."""
    real = pointer.type.pointee
    target = builder.bitcast(pointer, vector.type.as_pointer())
    builder.store(vector, target, align=8 if isinstance(real, ir.DoubleType) else 4)


def splat(builder, number, lanes):
    """Emit a vector whose lanes all hold ``number``."""
    vector = ir.VectorType(number.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), number, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


@intrinsic
def whole_registers(context):
    """Let LLVM vectorise the calling function's own loops for `register_bytes`, as formulas of `Lanes` are.

    For Intel's servers it prefers half of a 512-bit register otherwise. The attribute is one function's: numba's
    options, and what others compile in this process, stay as they are.
    """

    def codegen(target, builder, signature, arguments):
        set.add(builder.function.attributes, f'"prefer-vector-width"="{8 * register_bytes()}"')  # llvmlite names none
        return target.get_dummy_value()

    return types.void(), codegen


@intrinsic
def address(context, array, index):
    """Return a pointer to element ``index`` of an array, whatever its shape."""

    def codegen(target, builder, signature, arguments):
        data = target.make_array(signature.args[0])(target, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), codegen


@intrinsic
def offset(context, pointer, count):
    """Return a pointer ``count`` elements further on."""

    def codegen(target, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def multiply_add(context, a, b, c):
    """Return ``a b + c``, never reordered with what the caller does to it."""

    def codegen(target, builder, signature, arguments):
        a, b, c = arguments
        return builder.fadd(builder.fmul(a, b, flags=CONTRACT), c, flags=CONTRACT)

    return c(a, b, c), codegen


@intrinsic
def stack_array(context, size, like):
    """Return a pointer to ``size`` (a constant) numbers on the stack, of the type that pointer ``like`` points to.

    What LLVM can unroll it then keeps in registers, which it never does with a numpy array.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def codegen(target, builder, signature, arguments):
        return cgutils.alloca_once(builder, arguments[1].type.pointee, size=INT64(count))

    return like(size, like), codegen
