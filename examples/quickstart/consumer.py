"""Send a job to a worker and wait for its result."""

from tasks import add

result = add.delay(4, 6)
print(result)
print(result.id)
print(result.get(timeout=30))
