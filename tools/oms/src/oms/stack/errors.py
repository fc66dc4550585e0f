"""What can go wrong with the local stack, each said so that the reader knows what to do next."""


class StackError(Exception):
    """The local stack cannot do what was asked; the message says why and what helps."""


def first_stack_error(error: BaseException) -> StackError | None:
    """Take one stack error out of a group of failures: the others follow from it, or say the same.

    What the machine refuses, for its disk is full for example, is the user's to read as well.
    """
    while isinstance(error, BaseExceptionGroup):
        error = (error.subgroup(StackError) or error.subgroup(OSError) or error).exceptions[0]
    if isinstance(error, OSError):
        return StackError(str(error) or type(error).__name__)
    return error if isinstance(error, StackError) else None
