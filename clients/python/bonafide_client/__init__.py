"""The client of Bonafide: asks a platform whether media are genuine, and reads back what it answered.

```python
from bonafide_client import Bonafide

with Bonafide(api_key="sk-live-…") as client:
    detection = client.detections.create("holiday.jpg")
    print(detection.verdict, detection.confidence)
```
"""

from bonafide_client.clients import AsyncBonafide, Bonafide

__all__ = ["AsyncBonafide", "Bonafide"]
