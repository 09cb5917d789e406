"""What realtime_emotion_recognition.py alone needs: sound in, answers on a screen."""
